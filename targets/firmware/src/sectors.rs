//! Bytes from a device that reads whole sectors: an SD card, eMMC, a virtio disk, flash behind SPI.

use barre_core::io::{AbsOffset, IoError, IoOp, ReadAt};
use embedded_io::ErrorKind;

/// Bytes of a sector.
pub const SECTOR: usize = 512;

/// A device that reads whole sectors.
pub trait Sectors {
    /// Sectors that there are.
    fn count(&self) -> u64;

    /// Fills `buf`, a whole number of sectors, from sector `first` on.
    ///
    /// # Errors
    /// The device's, as a kind.
    fn read(&mut self, first: u64, buf: &mut [u8]) -> Result<(), ErrorKind>;
}

/// A [`ReadAt`] over a device. Whole sectors go straight to where they are wanted, in one request; the pieces at both
/// ends pass through one sector of memory, which is kept in case the next read goes on in it.
pub struct SectorReader<D> {
    device: D,
    sector: [u8; SECTOR],
    /// Which sector that is.
    held: Option<u64>,
}

impl<D: Sectors> SectorReader<D> {
    /// Reads from `device`.
    pub const fn new(device: D) -> Self {
        Self { device, sector: [0; SECTOR], held: None }
    }

    /// The device.
    pub fn into_inner(self) -> D {
        self.device
    }

    fn hold(&mut self, sector: u64) -> Result<(), IoError> {
        if self.held == Some(sector) {
            return Ok(());
        }
        // A failed read leaves neither the old sector nor the new one.
        self.held = None;
        self.device.read(sector, &mut self.sector).map_err(|kind| io_error(kind, sector, SECTOR))?;
        self.held = Some(sector);
        Ok(())
    }
}

impl<D: Sectors> ReadAt for SectorReader<D> {
    fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
        if buf.is_empty() {
            return Ok(());
        }
        let (start, need, size) = (at.get(), buf.len() as u64, self.len()?);
        if start.checked_add(need).is_none_or(|end| end > size) {
            let have = size.saturating_sub(start);
            return Err(IoError::Truncated { offset: start.saturating_add(have), need, have });
        }
        let mut at = start;
        let mut rest = buf;
        while !rest.is_empty() {
            let (sector, within) = (at / SECTOR as u64, (at % SECTOR as u64) as usize);
            let whole = rest.len() / SECTOR * SECTOR;
            let taken = if within == 0 && whole > 0 {
                let (to, _) = rest.split_at_mut(whole);
                self.device.read(sector, to).map_err(|kind| io_error(kind, sector, whole))?;
                whole
            } else {
                self.hold(sector)?;
                let from = &self.sector[within..];
                let n = from.len().min(rest.len());
                rest[..n].copy_from_slice(&from[..n]);
                n
            };
            at += taken as u64;
            rest = &mut rest[taken..];
        }
        Ok(())
    }

    fn len(&mut self) -> Result<u64, IoError> {
        Ok(self.device.count().saturating_mul(SECTOR as u64))
    }
}

const fn io_error(kind: ErrorKind, sector: u64, len: usize) -> IoError {
    IoError::Io { op: IoOp::Read, kind, offset: sector.saturating_mul(SECTOR as u64), len }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    struct Disk {
        bytes: Vec<u8>,
        requests: usize,
        fails: bool,
    }

    impl Sectors for Disk {
        fn count(&self) -> u64 {
            (self.bytes.len() / SECTOR) as u64
        }

        fn read(&mut self, first: u64, buf: &mut [u8]) -> Result<(), ErrorKind> {
            assert!(!buf.is_empty() && buf.len().is_multiple_of(SECTOR), "whole sectors");
            self.requests += 1;
            if core::mem::take(&mut self.fails) {
                buf.fill(0xee);
                return Err(ErrorKind::Other);
            }
            buf.copy_from_slice(&self.bytes[first as usize * SECTOR..][..buf.len()]);
            Ok(())
        }
    }

    fn disk() -> SectorReader<Disk> {
        let bytes = (0..8 * SECTOR).map(|i| (i * 7 + i / SECTOR) as u8).collect();
        SectorReader::new(Disk { bytes, requests: 0, fails: false })
    }

    #[test]
    fn every_range_is_what_a_slice_gives() {
        let mut disk = disk();
        let bytes = disk.device.bytes.clone();
        let (mut a, mut b) = ([0; 1700], [0; 1700]);
        for at in (0..9 * SECTOR).step_by(61).chain([511, 512, 513, 4095, 4096, 4097, usize::MAX]) {
            for len in [0, 1, 2, 63, 511, 512, 513, 1024, 1536, 1699] {
                let at = AbsOffset::new(at as u64);
                let want = (&bytes[..]).read_at(at, &mut a[..len]);
                assert_eq!(disk.read_at(at, &mut b[..len]), want, "{len} bytes at {at}");
                assert!(want.is_err() || a[..len] == b[..len], "{len} bytes at {at}");
            }
        }
    }

    #[test]
    fn whole_sectors_take_one_request_and_a_sector_is_read_once() {
        let mut disk = disk();
        let mut buf = [0; 4 * SECTOR];
        disk.read_at(AbsOffset::new(512), &mut buf).expect("bytes");
        assert_eq!(disk.device.requests, 1);
        for at in 1024..1536 {
            disk.read_at(AbsOffset::new(at), &mut buf[..1]).expect("a byte");
        }
        assert_eq!(disk.device.requests, 2);
    }

    #[test]
    fn a_fault_is_an_error_and_leaves_nothing_behind() {
        let mut disk = disk();
        let mut buf = [0; 4];
        disk.read_at(AbsOffset::new(8), &mut buf).expect("bytes");
        disk.device.fails = true;
        let failed = disk.read_at(AbsOffset::new(520), &mut buf);
        assert_eq!(
            failed,
            Err(IoError::Io { op: IoOp::Read, kind: ErrorKind::Other, offset: 512, len: 512 })
        );
        disk.read_at(AbsOffset::new(8), &mut buf).expect("bytes");
        assert_eq!(buf, disk.device.bytes[8..12]);
    }
}
