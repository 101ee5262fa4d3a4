@ Sums of products on Armv6-M: what `portable::inner::sums` computes.
@
@ A block is two tiles (or pixels) and two output channels. Two channels lie in a word: the upper
@ one comes by ASRS, the lower one by SXTH, which is a copy too, so that only one of the eight
@ multiplies, which overwrite an operand, needs a move. A product of two int16 is at most 2^30; sums
@ are modulo 2^32. Registers:
@   r0       inputs: tile 0 at 0, tile 1 at 8 bytes of a step of 16
@   r1       weights: output 0 at 0, output 1 at 8 bytes of a step
@   r2, r3   two channels of both tiles
@   r4, r5   their weights
@   r6, r7   free
@   r8-r11   four sums, `[output][tile]`
@   r12      where the inputs of this sum end
@   lr       how many bytes the next sums read
@ On the stack: where the sums go.
    .syntax unified
    .arch armv6-m
    .thumb

@ Two channels, at \at bytes.
    .macro resmcu_channels at
    ldr     r2, [r0, #\at]
    ldr     r3, [r0, #\at+8]
    ldr     r4, [r1, #\at]
    ldr     r5, [r1, #\at+8]
    sxth    r6, r2
    sxth    r7, r4
    muls    r6, r7, r6
    add     r8, r6
    sxth    r6, r3
    muls    r7, r6, r7
    add     r9, r7
    sxth    r7, r5
    muls    r6, r7, r6
    add     r11, r6
    sxth    r6, r2
    muls    r7, r6, r7
    add     r10, r7
    asrs    r2, r2, #16
    asrs    r4, r4, #16
    movs    r6, r2
    muls    r6, r4, r6
    add     r8, r6
    asrs    r3, r3, #16
    muls    r4, r3, r4
    add     r9, r4
    asrs    r5, r5, #16
    muls    r2, r5, r2
    add     r10, r2
    muls    r3, r5, r3
    add     r11, r3
    .endm

@ void resmcu_armv6m_sums_1(const context *)
@ context: inputs, weights, -, bytes of inputs of each sum (at least one, each at least a step, a
@ zero after the last), sums
    .section .text.resmcu_armv6m_sums_1, "ax", %progbits
    .balign 4
    .global resmcu_armv6m_sums_1
    .type resmcu_armv6m_sums_1, %function
    .thumb_func
resmcu_armv6m_sums_1:
    push    {r4-r7, lr}
    mov     r4, r8
    mov     r5, r9
    mov     r6, r10
    mov     r7, r11
    push    {r4-r7}
    ldr     r2, [r0, #16]
    push    {r2, r3}
    ldr     r3, [r0, #12]
    ldr     r1, [r0, #4]
    ldr     r0, [r0]
    ldmia   r3!, {r2}
1:  mov     lr, r3
    movs    r3, #0
    mov     r8, r3
    mov     r9, r3
    mov     r10, r3
    mov     r11, r3
    adds    r3, r0, r2
    mov     r12, r3
    @ An odd number of steps enters in the middle.
    lsls    r2, r2, #27
    bpl     2f
    subs    r0, #16
    subs    r1, #16
    b       3f
2:  resmcu_channels 0
    resmcu_channels 4
3:  resmcu_channels 16
    resmcu_channels 20
    adds    r0, #32
    adds    r1, #32
    cmp     r0, r12
    bne     2b
    mov     r2, r8
    mov     r3, r9
    mov     r4, r10
    mov     r5, r11
    ldr     r6, [sp]
    stmia   r6!, {r2-r5}
    str     r6, [sp]
    mov     r3, lr
    ldmia   r3!, {r2}
    cmp     r2, #0
    beq     4f
    b       1b
4:  pop     {r2, r3}
    pop     {r4-r7}
    mov     r8, r4
    mov     r9, r5
    mov     r10, r6
    mov     r11, r7
    pop     {r4-r7, pc}
    .size resmcu_armv6m_sums_1, . - resmcu_armv6m_sums_1
