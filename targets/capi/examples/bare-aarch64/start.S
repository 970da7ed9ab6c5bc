/* QEMU's virt board, one core, from reset to main: vectors that report, MMU and caches, SIMD, .data and .bss, a stack.
 * Flash 0 - 64 MiB is read-only and executable, 64 - 512 MiB are devices, RAM is at 1 GiB. Tables are constants. */

.equ DEVICE, 0x0060000000000401
.equ CODE,   0x0040000000000785
.equ RAM,    0x0060000000000705

.section .rodata.tables, "a"
.balign 4096
level2:
.set at, 0
.rept 512
.if at < 32
    .quad CODE + at * 0x200000
.elseif at < 256
    .quad DEVICE + at * 0x200000
.else
    .quad 0
.endif
.set at, at + 1
.endr
level1:
    .quad level2 + 3, RAM + 0x40000000, 0, 0

.section .text.start, "ax"
.globl _start
_start:
    adr x0, vectors
    msr vbar_el1, x0
    mov x0, #(3 << 20)
    msr cpacr_el1, x0
    ldr x0, =0xff04
    msr mair_el1, x0
    ldr x0, =0x803520
    msr tcr_el1, x0
    ldr x0, =level1
    msr ttbr0_el1, x0
    isb
    tlbi vmalle1
    ic iallu
    dsb nsh
    isb
    ldr x0, =0x30d8180d
    msr sctlr_el1, x0
    isb
    ldr x0, =__data_start
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
4:  ldr x0, =__stack_top
    mov sp, x0
    mov x29, xzr
    mov x30, xzr
    bl main
    bl leave

.balign 2048
vectors:
.rept 16
.balign 128
    mov w0, #99
    b leave
.endr

/* Ends QEMU with the status in w0, by semihosting. */
.globl leave
leave:
    sub sp, sp, #16
    ldr x1, =0x20026
    and x0, x0, #0xff
    stp x1, x0, [sp]
    mov x1, sp
    mov w0, #0x18
    hlt #0xf000
    b .

/* The model in flash, aligned so that its tensors are read in place at full speed. */
.section .rodata.model, "a"
.balign 64
.globl model
model:
    .incbin MODEL
.globl model_end
model_end:

#ifdef SCHEMA
/* The schema of its answers. */
.globl schema
schema:
    .incbin SCHEMA
.globl schema_end
schema_end:
#endif
