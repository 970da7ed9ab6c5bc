// memcpy, memmove, memset: 144 bytes; those of compiler_builtins are 1,900. 16 bytes a step, then single ones.

.section .text.mem, "ax"
.globl memcpy
.globl memmove
memcpy:
memmove:
    sub x3, x0, x1
    cmp x3, x2
    b.lo 4f                           // the destination begins inside of the source: from the end
    mov x3, x0
1:  subs x2, x2, #16
    b.lo 2f
    ldp x4, x5, [x1], #16
    stp x4, x5, [x3], #16
    b 1b
2:  add x2, x2, #16
3:  cbz x2, 7f
    ldrb w4, [x1], #1
    strb w4, [x3], #1
    sub x2, x2, #1
    b 3b
4:  add x1, x1, x2
    add x3, x0, x2
5:  subs x2, x2, #16
    b.lo 6f
    ldp x4, x5, [x1, #-16]!
    stp x4, x5, [x3, #-16]!
    b 5b
6:  adds x2, x2, #16
    b.eq 7f
8:  ldrb w4, [x1, #-1]!
    strb w4, [x3, #-1]!
    subs x2, x2, #1
    b.ne 8b
7:  ret

.globl memset
memset:
    mov x4, #0x0101010101010101
    and x1, x1, #255
    mul x1, x1, x4
    mov x3, x0
1:  subs x2, x2, #16
    b.lo 2f
    stp x1, x1, [x3], #16
    b 1b
2:  add x2, x2, #16
3:  cbz x2, 4f
    strb w1, [x3], #1
    sub x2, x2, #1
    b 3b
4:  ret
