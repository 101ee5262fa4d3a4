@ The sums of a fully connected layer on Armv7-M: what `model::fully_connected` computes.
@
@ Four outputs at once, so that an input is loaded once for four products. |x w| <= 2^15 * 2^7; MLA
@ adds modulo 2^32. Registers:
@   r0       inputs
@   r1-r4    weights of four outputs
@   r5-r8    their sums
@   r9, r10  an input, a weight
@   r12      inputs, then those beyond a multiple of eight
@   lr       where the inputs of a loop end
    .syntax unified
    .thumb

@ An input of \bytes, which \load loads.
    .macro resmcu_fully_connected_input load, bytes
    \load   r9, [r0], #\bytes
    ldrsb   r10, [r1], #1
    mla     r5, r9, r10, r5
    ldrsb   r10, [r2], #1
    mla     r6, r9, r10, r6
    ldrsb   r10, [r3], #1
    mla     r7, r9, r10, r7
    ldrsb   r10, [r4], #1
    mla     r8, r9, r10, r8
    .endm

@ void NAME(const context *)
@ context: inputs, how many (at least one), four rows of weights, four sums
    .macro resmcu_fully_connected name, load, bytes
    .section .text.\name, "ax", %progbits
    .balign 4
    .global \name
    .type \name, %function
    .thumb_func
\name:
    push    {r0, r4-r10, lr}
    mov     lr, r0
    ldr     r0, [lr], #4
    ldr     r12, [lr], #4
    ldm     lr, {r1-r4}
    movs    r5, #0
    movs    r6, #0
    movs    r7, #0
    mov     r8, r5
    bic     lr, r12, #7
    add     lr, r0, lr, lsl #\bytes-1
    and     r12, r12, #7
    b       2f
1:  .rept 8
    resmcu_fully_connected_input \load, \bytes
    .endr
2:  cmp     r0, lr
    bne.w   1b
    add     lr, r0, r12, lsl #\bytes-1
    b       4f
3:  resmcu_fully_connected_input \load, \bytes
4:  cmp     r0, lr
    bne     3b
    ldr     r0, [sp], #4
    ldr     r0, [r0, #24]
    stm     r0, {r5-r8}
    pop     {r4-r10, pc}
    .size \name, . - \name
    .endm

    resmcu_fully_connected resmcu_fully_connected_s8, ldrsb, 1
    resmcu_fully_connected resmcu_fully_connected_s16, ldrsh, 2
