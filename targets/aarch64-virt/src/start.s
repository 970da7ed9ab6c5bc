// Reset, MMU, vectors. Everything before Rust, and the second core's way in.
//
// Memory map (32-bit addresses, 4 KiB granule, three levels at most):
//   0x00000000 128 MiB  flash: read, execute
//   0x08000000 128 MiB  devices (GIC, UART, virtio): read, write, never gathered or reordered
//   0x40000000   2 MiB  stacks, each between unmapped pages; the rest unmapped (QEMU leaves the device tree there)
//   0x40200000 126 MiB  RAM: read, write, never executed
// The first core writes the tables, which are 12 KiB, before it turns its MMU on.

.equ DEVICE,  0x0060000000000401      // block, Attr0, AF, not executable
.equ CODE,    0x0040000000000785      // block, Attr1, inner shareable, AF, read-only
.equ RAM,     0x0060000000000705      // block, Attr1, inner shareable, AF, not executable
.equ PAGE,    2                       // what makes a block descriptor one of a page
.equ TABLE,   3

.equ STACK_PAGES, 16                  // 64 KiB a core
.equ STACK0_PAGE, 257                 // page 256 guards it
.equ STACK1_PAGE, STACK0_PAGE + STACK_PAGES + 1
.equ FAULT0_PAGE, STACK1_PAGE + STACK_PAGES + 1
.equ FAULT1_PAGE, FAULT0_PAGE + 3     // two pages each, and a guard
.equ STACKS, 0x40000000

.set stack0_bottom, STACKS + STACK0_PAGE * 4096
.set stack0_top, stack0_bottom + STACK_PAGES * 4096
.set stack1_top, STACKS + (STACK1_PAGE + STACK_PAGES) * 4096
.set fault0_top, STACKS + (FAULT0_PAGE + 2) * 4096
.set fault1_top, STACKS + (FAULT1_PAGE + 2) * 4096

// What the walker reads; start.s alone refers to it. Not in .bss, which is cleared after the MMU is on.
.section .tables, "aw", @nobits
.balign 4096
level2_low: .skip 4096
level2_ram: .skip 4096
level3_stacks: .skip 4096
level1: .skip 32                      // four entries of 1 GiB

.section .rodata.stack0, "a"
.balign 8
.globl barre_stack0                   // for Rust: where the first core's stack is
barre_stack0:
    .quad stack0_bottom, stack0_top

.section .text.start, "ax"
.globl _start
_start:
    bl make_tables
    ldr x9, =fault0_top
    bl set_up_core

    ldr x0, =__data_start             // .data, from flash
    ldr x1, =__data_end
    ldr x2, =__data_load
1:  cmp x0, x1
    b.hs 2f
    ldp x3, x4, [x2], #16
    stp x3, x4, [x0], #16
    b 1b
2:  ldr x0, =__bss_start
    ldr x1, =__bss_end
3:  cmp x0, x1
    b.hs 4f
    stp xzr, xzr, [x0], #16
    b 3b
4:  ldr x0, =stack0_bottom          // paint, to see later how deep the stack went
    ldr x1, =stack0_top
    ldr x2, =0xa5a5a5a5a5a5a5a5
5:  stp x2, x2, [x0], #16
    cmp x0, x1
    b.lo 5b

    msr spsel, #0                     // work on a stack of its own, so that a fault in it still has one
    mov sp, x1
    mov x29, xzr
    mov x30, xzr
    bl barre_start
    b .

.globl _start_core1
_start_core1:
    ldr x9, =fault1_top
    bl set_up_core
    msr spsel, #0
    ldr x0, =stack1_top
    mov sp, x0
    mov x29, xzr
    mov x30, xzr
    bl barre_start_core1
    b .

// Writes the tables, with the MMU and so the data cache off. Each loop fills `x3` entries at `x0`, the first `x1`, each
// `x2` more than the one before.
make_tables:
    mov x9, x30
    ldr x0, =level2_low               // zeros everywhere first
    mov x1, #0
    mov x2, #0
    mov x3, #(3 * 512 + 4)
    bl fill
    ldr x0, =level2_low               // 128 MiB of flash, then of devices
    ldr x1, =CODE
    mov x2, #0x200000
    mov x3, #64
    bl fill
    ldr x0, =level2_low + 8 * 64
    ldr x1, =DEVICE + 64 * 0x200000
    mov x3, #64
    bl fill
    ldr x0, =level2_ram
    ldr x1, =level3_stacks + TABLE
    str x1, [x0], #8
    ldr x1, =RAM + 0x40200000
    mov x3, #63
    bl fill
    mov x2, #4096
    ldr x0, =level3_stacks + 8 * STACK0_PAGE
    ldr x1, =RAM + PAGE + STACKS + STACK0_PAGE * 4096
    mov x3, #STACK_PAGES
    bl fill
    ldr x0, =level3_stacks + 8 * STACK1_PAGE
    ldr x1, =RAM + PAGE + STACKS + STACK1_PAGE * 4096
    mov x3, #STACK_PAGES
    bl fill
    ldr x0, =level3_stacks + 8 * FAULT0_PAGE
    ldr x1, =RAM + PAGE + STACKS + FAULT0_PAGE * 4096
    mov x3, #2
    bl fill
    ldr x0, =level3_stacks + 8 * FAULT1_PAGE
    ldr x1, =RAM + PAGE + STACKS + FAULT1_PAGE * 4096
    mov x3, #2
    bl fill
    ldr x0, =level1
    ldr x1, =level2_low + TABLE
    ldr x2, =level2_ram + TABLE
    stp x1, x2, [x0]
    dsb sy
    ldr x0, =level2_low               // no older line of a cache may hide them from the walker
    add x1, x0, #(3 * 4096)
6:  dc ivac, x0
    add x0, x0, #16
    cmp x0, x1
    b.ls 6b
    dsb sy
    ret x9
fill:
    str x1, [x0], #8
    add x1, x1, x2
    subs x3, x3, #1
    b.ne fill
    ret

// Vectors, SIMD, MMU, caches; x9: the top of the core's fault stack.
set_up_core:
    msr spsel, #1
    mov sp, x9
    adrp x0, vectors
    add x0, x0, :lo12:vectors
    msr vbar_el1, x0
    mov x0, #(3 << 20)                // CPACR: no traps of SIMD and floating point
    msr cpacr_el1, x0
    ldr x0, =0xff04                   // MAIR: Attr0 device nGnRE, Attr1 normal, write-back
    msr mair_el1, x0
    ldr x0, =0x803520                 // TCR: 32-bit, write-back tables, inner shareable, no upper half
    msr tcr_el1, x0
    adrp x0, level1
    add x0, x0, :lo12:level1
    msr ttbr0_el1, x0
    isb
    tlbi vmalle1
    ic iallu
    dsb nsh
    isb
    ldr x0, =0x30d8180d               // SCTLR: MMU, caches, stack alignment; what is writable is not executable
    msr sctlr_el1, x0
    isb
    ret

.ltorg

.macro vector number
.balign 128
    mov x0, #\number
    b fault
.endm

// Only the first two groups: there is no lower level to come from.
.section .text.vectors, "ax"
.balign 2048
vectors:
    vector 0
    vector 1
    vector 2
    vector 3
    vector 4
    vector 5
    vector 6
    vector 7

fault:
    mrs x1, esr_el1
    mrs x2, elr_el1
    mrs x3, far_el1
    bl barre_fault
    b .

.text
