//! The first GGUF file of a disk with a FAT file system.

use crate::Disk;
use alloc::vec::Vec;
use barre_core::io::{ReadAt, Stream};
use barre_firmware::sectors::{SECTOR, Sectors as _};
use core::cell::RefCell;
use core::fmt;
use core::ops::ControlFlow;
use embedded_io::ErrorKind;
use embedded_sdmmc::{
    Block, BlockCount, BlockDevice, BlockIdx, Error, Mode, TimeSource, Timestamp, VolumeIdx, VolumeManager,
};

/// Sectors that are read at once when the file system asks for one, as it always does.
const AHEAD: usize = 256;

/// What a reader of the file system's fails with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FatError {
    /// The disk.
    Disk(ErrorKind),
    /// No partition of a known type, no FAT in it, or an error in its structure.
    FileSystem,
    /// No file in the root directory has a name that ends in `.gguf`.
    NoFile,
}

impl fmt::Display for FatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(kind) => write!(f, "the disk fails: {kind:?}"),
            Self::FileSystem => f.write_str("the disk has no readable FAT file system"),
            Self::NoFile => f.write_str("the disk has no .gguf file in its root directory"),
        }
    }
}

impl core::error::Error for FatError {}

impl From<Error<FatError>> for FatError {
    fn from(e: Error<FatError>) -> Self {
        match e {
            Error::DeviceError(e) => e,
            _ => Self::FileSystem,
        }
    }
}

/// Opens the first partition of `disk` and hands `use_file` a reader of the first file whose name ends in `.gguf`.
///
/// # Errors
/// [`FatError`], before `use_file` is called.
pub fn with_file<T>(disk: Disk, use_file: impl FnOnce(&mut dyn ReadAt) -> T) -> Result<T, FatError> {
    let volumes: VolumeManager<_, _> = VolumeManager::new(Ahead::new(disk), NoClock);
    let volume = volumes.open_volume(VolumeIdx(0))?;
    let root = volume.open_root_dir()?;
    let mut found = None;
    root.iterate_dir(|entry| {
        // The first three letters of the ending are what a short name keeps.
        if entry.name.extension() == b"GGU" && !entry.attributes.is_directory() {
            found = Some(entry.name);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    let file = root.open_file_in_dir(found.ok_or(FatError::NoFile)?, Mode::ReadOnly)?;
    Ok(use_file(&mut Stream::new(file)))
}

/// A disk that reads ahead. The file system asks for one sector at a time, of a file from first to last, and now and then
/// for one of its table: two buffers, so that neither drives the other out.
struct Ahead(RefCell<Buffers>);

struct Buffers {
    disk: Disk,
    buffers: [Buffer; 2],
    /// The buffer that was of use last.
    latest: usize,
}

struct Buffer {
    first: u64,
    count: u64,
    sectors: Vec<u8>,
}

impl Ahead {
    fn new(disk: Disk) -> Self {
        let empty = || Buffer { first: 0, count: 0, sectors: Vec::new() };
        Self(RefCell::new(Buffers { disk, buffers: [empty(), empty()], latest: 0 }))
    }
}

impl Buffers {
    fn sector(&mut self, sector: u64, out: &mut [u8; SECTOR]) -> Result<(), FatError> {
        let holds = |b: &Buffer| (b.first..b.first + b.count).contains(&sector);
        let index = match self.buffers.iter().position(holds) {
            Some(index) => index,
            None => {
                let index = 1 - self.latest;
                self.fill(index, sector)?;
                index
            }
        };
        self.latest = index;
        let buffer = &self.buffers[index];
        out.copy_from_slice(&buffer.sectors[(sector - buffer.first) as usize * SECTOR..][..SECTOR]);
        Ok(())
    }

    fn fill(&mut self, index: usize, first: u64) -> Result<(), FatError> {
        let buffer = &mut self.buffers[index];
        if buffer.sectors.is_empty() {
            let memory = &mut buffer.sectors;
            memory.try_reserve_exact(AHEAD * SECTOR).map_err(|_| FatError::Disk(ErrorKind::OutOfMemory))?;
            memory.resize(AHEAD * SECTOR, 0);
        }
        buffer.count = 0;
        let count = self.disk.count().saturating_sub(first).min(AHEAD as u64);
        if count == 0 {
            return Err(FatError::Disk(ErrorKind::InvalidInput));
        }
        self.disk.read(first, &mut buffer.sectors[..count as usize * SECTOR]).map_err(FatError::Disk)?;
        (buffer.first, buffer.count) = (first, count);
        Ok(())
    }
}

impl BlockDevice for Ahead {
    type Error = FatError;

    fn read(&self, blocks: &mut [Block], first: BlockIdx) -> Result<(), FatError> {
        let mut buffers = self.0.borrow_mut();
        for (sector, block) in (u64::from(first.0)..).zip(blocks) {
            buffers.sector(sector, &mut block.contents)?;
        }
        Ok(())
    }

    fn write(&self, _: &[Block], _: BlockIdx) -> Result<(), FatError> {
        Err(FatError::Disk(ErrorKind::Unsupported))
    }

    fn num_blocks(&self) -> Result<BlockCount, FatError> {
        Ok(BlockCount(self.0.borrow().disk.count().try_into().unwrap_or(u32::MAX)))
    }
}

/// Files are only read, so that nobody asks for the time.
struct NoClock;

impl TimeSource for NoClock {
    fn get_timestamp(&self) -> Timestamp {
        Timestamp::from_fat(0, 0)
    }
}
