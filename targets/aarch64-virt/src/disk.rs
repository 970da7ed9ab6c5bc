//! The board's first virtio disk.

#![allow(unsafe_code, reason = "memory that a device reads and writes")]

use barre_firmware::sectors::{SECTOR, Sectors};
use core::cell::UnsafeCell;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use embedded_io::ErrorKind;
use virtio_drivers::device::blk::VirtIOBlk;
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceType, Transport as _};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// Where the board has its virtio devices, 32 of 512 bytes. QEMU fills them from the last one down.
const DEVICES: usize = 0x0a00_0000;
const DEVICE_BYTES: usize = 0x200;
const DEVICE_COUNT: usize = 32;

/// Bytes of one request: a window of the stream is cut into such pieces.
const REQUEST: usize = 1 << 20;

/// The first block device that the board has.
pub struct Disk {
    device: VirtIOBlk<Identity, MmioTransport<'static>>,
}

/// The board has no block device, or its driver gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoDisk;

impl fmt::Display for NoDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no virtio disk")
    }
}

impl core::error::Error for NoDisk {}

impl Disk {
    /// Finds it.
    ///
    /// # Errors
    /// [`NoDisk`].
    pub fn open() -> Result<Self, NoDisk> {
        for device in (0..DEVICE_COUNT).rev() {
            let registers = (DEVICES + device * DEVICE_BYTES) as *mut VirtIOHeader;
            let Some(registers) = NonNull::new(registers) else { continue };
            // SAFETY: the board has registers of this layout there (of device type 0 where there is no device), and
            // start.s maps them; the first device found is the only one kept.
            let Ok(transport) = (unsafe { MmioTransport::new(registers, DEVICE_BYTES) }) else { continue };
            if transport.device_type() == DeviceType::Block {
                return VirtIOBlk::new(transport).map(|device| Self { device }).map_err(|_| NoDisk);
            }
        }
        Err(NoDisk)
    }
}

impl Sectors for Disk {
    fn count(&self) -> u64 {
        self.device.capacity()
    }

    fn read(&mut self, first: u64, buf: &mut [u8]) -> Result<(), ErrorKind> {
        let mut first = usize::try_from(first).map_err(|_| ErrorKind::InvalidInput)?;
        for piece in buf.chunks_mut(REQUEST) {
            self.device.read_blocks(first, piece).map_err(|_| ErrorKind::Other)?;
            first += piece.len() / SECTOR;
        }
        Ok(())
    }
}

/// Physical addresses are the CPU's own, and the device sees its caches.
struct Identity;

/// Pages for the queues of one device.
const QUEUE_PAGES: usize = 4;

#[repr(C, align(4096))]
struct Pages(UnsafeCell<[u8; QUEUE_PAGES * PAGE_SIZE]>);

// SAFETY: each page is given out once, by a counter.
unsafe impl Sync for Pages {}

static PAGES: Pages = Pages(UnsafeCell::new([0; QUEUE_PAGES * PAGE_SIZE]));
static PAGES_TAKEN: AtomicUsize = AtomicUsize::new(0);

// SAFETY: addresses are physical, as start.s maps everything in its place; pages are given out once and never taken back.
unsafe impl Hal for Identity {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let first = PAGES_TAKEN.fetch_add(pages, Ordering::Relaxed);
        if first.checked_add(pages).is_none_or(|end| end > QUEUE_PAGES) {
            return (0, NonNull::dangling());
        }
        // SAFETY: the pages lie in the static, and their number has been given out just now.
        let page = unsafe { PAGES.0.get().cast::<u8>().add(first * PAGE_SIZE) };
        (page.addr() as PhysAddr, NonNull::new(page).unwrap_or(NonNull::dangling()))
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(paddr: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(paddr as *mut u8).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.addr().get() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
