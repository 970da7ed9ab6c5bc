// memcpy, memmove, memset and the names that the ABI has for them (RTABI, 4.3.4): 120 bytes; those of compiler_builtins are
// 3,300. Words at any address, then single bytes. Before a count is used, what the last step took too much is given back.

.syntax unified
.thumb
.section .text.mem, "ax"

.globl memcpy, memmove, __aeabi_memcpy, __aeabi_memcpy4, __aeabi_memcpy8
.globl __aeabi_memmove, __aeabi_memmove4, __aeabi_memmove8
.thumb_func
memcpy:
.thumb_func
memmove:
.thumb_func
__aeabi_memcpy:
.thumb_func
__aeabi_memcpy4:
.thumb_func
__aeabi_memcpy8:
.thumb_func
__aeabi_memmove:
.thumb_func
__aeabi_memmove4:
.thumb_func
__aeabi_memmove8:
    subs r3, r0, r1
    cmp r3, r2
    blo 4f                            // the destination begins inside of the source: from the end
    mov r3, r0
1:  subs r2, #4
    blo 2f
    ldr r12, [r1], #4
    str r12, [r3], #4
    b 1b
2:  adds r2, #4
3:  subs r2, #1
    blo 7f
    ldrb r12, [r1], #1
    strb r12, [r3], #1
    b 3b
4:  add r1, r2
    adds r3, r0, r2
5:  subs r2, #4
    blo 6f
    ldr r12, [r1, #-4]!
    str r12, [r3, #-4]!
    b 5b
6:  adds r2, #4
8:  subs r2, #1
    blo 7f
    ldrb r12, [r1, #-1]!
    strb r12, [r3, #-1]!
    b 8b
7:  bx lr

.globl __aeabi_memclr, __aeabi_memclr4, __aeabi_memclr8
.thumb_func
__aeabi_memclr:
.thumb_func
__aeabi_memclr4:
.thumb_func
__aeabi_memclr8:
    movs r2, #0
    // As memset, but for the order of the length and the byte.
.globl __aeabi_memset, __aeabi_memset4, __aeabi_memset8
.thumb_func
__aeabi_memset:
.thumb_func
__aeabi_memset4:
.thumb_func
__aeabi_memset8:
    mov r3, r1
    mov r1, r2
    mov r2, r3
.globl memset
.thumb_func
memset:
    uxtb r1, r1
    orr r1, r1, r1, lsl #8
    orr r1, r1, r1, lsl #16
    mov r3, r0
1:  subs r2, #4
    blo 2f
    str r1, [r3], #4
    b 1b
2:  adds r2, #4
3:  subs r2, #1
    blo 4f
    strb r1, [r3], #1
    b 3b
4:  bx lr
