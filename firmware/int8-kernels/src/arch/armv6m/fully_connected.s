@ The sums of a fully connected layer on Armv6-M: what `model::fully_connected` computes.
@
@ Four outputs at once, so that an input is loaded once for four products. Signed loads take no
@ address but that of two registers: all pointers stand at their ends, and one index counts up to
@ zero for all. |x w| <= 2^15 * 2^7; sums are modulo 2^32. Registers:
@   r0       an input
@   r1-r4    where the weights of four outputs end
@   r5       the index, from minus the number of inputs up to zero
@   r6       where the inputs end
@   r7       a weight, a product
@   r8-r11   four sums
    .syntax unified
    .thumb

@ An input of \bytes; the flags are those of the index.
    .macro resmcu_fully_connected_input bytes
    .if \bytes == 1
    ldrsb   r0, [r6, r5]
    .else
    lsls    r0, r5, #1
    ldrsh   r0, [r6, r0]
    .endif
    ldrsb   r7, [r1, r5]
    muls    r7, r0, r7
    add     r8, r7
    ldrsb   r7, [r2, r5]
    muls    r7, r0, r7
    add     r9, r7
    ldrsb   r7, [r3, r5]
    muls    r7, r0, r7
    add     r10, r7
    ldrsb   r7, [r4, r5]
    muls    r7, r0, r7
    add     r11, r7
    adds    r5, r5, #1
    .endm

@ void NAME(const context *)
@ context: inputs, how many (at least one), four rows of weights, four sums
    .macro resmcu_fully_connected name, bytes
    .section .text.\name, "ax", %progbits
    .balign 4
    .global \name
    .type \name, %function
    .thumb_func
\name:
    push    {r4-r7, lr}
    mov     r4, r8
    mov     r5, r9
    mov     r6, r10
    mov     r7, r11
    push    {r0, r4-r7}
    ldmia   r0!, {r6, r7}
    ldmia   r0!, {r1-r4}
    adds    r1, r1, r7
    adds    r2, r2, r7
    adds    r3, r3, r7
    adds    r4, r4, r7
    adds    r6, r6, r7
    .if \bytes == 2
    adds    r6, r6, r7
    .endif
    movs    r0, #0
    mov     r8, r0
    mov     r9, r0
    mov     r10, r0
    mov     r11, r0
    subs    r5, r0, r7
    @ Those beyond a multiple of four, one by one.
1:  lsls    r7, r5, #30
    beq     2f
    resmcu_fully_connected_input \bytes
    b       1b
2:  cmp     r5, #0
    beq     4f
3:  .rept 4
    resmcu_fully_connected_input \bytes
    .endr
    bne     3b
4:  pop     {r0}
    ldr     r0, [r0, #24]
    mov     r1, r8
    mov     r2, r9
    mov     r3, r10
    mov     r4, r11
    stmia   r0!, {r1-r4}
    pop     {r4-r7}
    mov     r8, r4
    mov     r9, r5
    mov     r10, r6
    mov     r11, r7
    pop     {r4-r7, pc}
    .size \name, . - \name
    .endm

    resmcu_fully_connected resmcu_fully_connected_s8, 1
    resmcu_fully_connected resmcu_fully_connected_s16, 2
