@ The sums of a fully connected layer on Armv7E-M: what `model::fully_connected` computes.
@
@ Four outputs at once, so that an input is loaded, and widened or brought into the order of the
@ weights, once for four products. Four weights of a row come in a word, at any address; SXTB16
@ widens bytes 0 and 2, and 1 and 3, so that inputs stand in the same pairs. |x w| <= 2^15 * 2^7,
@ two products of SMLAD stay below 2^24, and it adds them modulo 2^32. Registers:
@   r0       inputs
@   r1       weights of output 0
@   r2-r4    bytes from there to those of outputs 1 to 3
@   r5-r8    four sums
@   r9, r10  inputs 0 and 2, 1 and 3
@   r11, r12 weights
@   lr       where the inputs of a loop end
    .syntax unified
    .thumb

@ Four products of the weights in r11.
    .macro resmcu_fully_connected_row sum
    sxtb16  r12, r11
    sxtb16  r11, r11, ror #8
    smlad   \sum, r12, r9, \sum
    smlad   \sum, r11, r10, \sum
    .endm

@ Four inputs of \bytes each.
    .macro resmcu_fully_connected_quad bytes
    .if \bytes == 1
    ldr     r12, [r0], #4
    sxtb16  r9, r12
    sxtb16  r10, r12, ror #8
    .else
    ldr     r12, [r0], #4
    ldr     r11, [r0], #4
    pkhbt   r9, r12, r11, lsl #16
    pkhtb   r10, r11, r12, asr #16
    .endif
    ldr     r11, [r1, r2]
    resmcu_fully_connected_row r6
    ldr     r11, [r1, r3]
    resmcu_fully_connected_row r7
    ldr     r11, [r1, r4]
    resmcu_fully_connected_row r8
    ldr     r11, [r1], #4
    resmcu_fully_connected_row r5
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
    push    {r0, r4-r11, lr}
    ldm     r0, {r0-r5}
    bic     lr, r1, #3
    add     lr, r0, lr, lsl #\bytes-1
    mov     r12, r1
    mov     r1, r2
    sub     r2, r3, r1
    sub     r3, r4, r1
    sub     r4, r5, r1
    movs    r5, #0
    movs    r6, #0
    movs    r7, #0
    mov     r8, r5
    cmp     r0, lr
    beq     3f
    @ An odd number of fours enters in the middle.
    tst     r12, #4
    bne     2f
1:  resmcu_fully_connected_quad \bytes
2:  resmcu_fully_connected_quad \bytes
    cmp     r0, lr
    bne     1b
    @ What remains, one by one.
3:  ldr     r12, [sp]
    ldr     r12, [r12, #4]
    and     r12, r12, #3
    add     lr, r0, r12, lsl #\bytes-1
    b       5f
4:  .if \bytes == 1
    ldrsb   r9, [r0], #1
    .else
    ldrsh   r9, [r0], #2
    .endif
    ldrsb   r10, [r1, r2]
    ldrsb   r11, [r1, r3]
    ldrsb   r12, [r1, r4]
    mla     r6, r9, r10, r6
    mla     r7, r9, r11, r7
    mla     r8, r9, r12, r8
    ldrsb   r10, [r1], #1
    mla     r5, r9, r10, r5
5:  cmp     r0, lr
    bne     4b
    ldr     r0, [sp], #4
    ldr     r0, [r0, #24]
    stm     r0, {r5-r8}
    pop     {r4-r11, pc}
    .size \name, . - \name
    .endm

    resmcu_fully_connected resmcu_fully_connected_s8, 1
    resmcu_fully_connected resmcu_fully_connected_s16, 2
