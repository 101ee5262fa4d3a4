@ Sums of products on Armv7-M: what `portable::inner::sums` computes.
@
@ A block is two tiles (or pixels) and two or four output channels. With four, a channel's products
@ are six loads and eight MLA, which add modulo 2^32 for any int16. Registers:
@   r0       inputs: tile 0 at 0, tile 1 at 8 bytes of a step of 16
@   r1, r2   weights of two pairs of outputs: output 0 at 0, output 1 at 8 bytes of a step
@   r3-r10   eight sums, `[pair][output][tile]`
@   r11, r12 a channel of both tiles
@   lr       its weight
@ On the stack: eight zeros, which one LDM makes the sums of; where this sum's inputs end; how many
@ bytes the next sums read; where the sums go.
    .syntax unified
    .arch armv7-m
    .thumb

    .equ RESMCU_SUMS_END, 32
    .equ RESMCU_SUMS_COUNTS, 36
    .equ RESMCU_SUMS_OUT, 40
    .equ RESMCU_SUMS_FRAME, 44

@ Adds to \a and \b the products of a channel of both tiles with the weight in lr.
    .macro resmcu_products a, b
    mla     \a, r11, lr, \a
    mla     \b, r12, lr, \b
    .endm

@ One channel, at \at bytes of a step; the first comes last, and moves on by \next.
    .macro resmcu_channel pairs, at, next
    ldrsh   r12, [r0, #\at+8]
    .if \next
    ldrsh   r11, [r0], #\next
    .else
    ldrsh   r11, [r0, #\at]
    .endif
    ldrsh   lr, [r1, #\at+8]
    resmcu_products r5, r6
    .if \next
    ldrsh   lr, [r1], #\next
    .else
    ldrsh   lr, [r1, #\at]
    .endif
    resmcu_products r3, r4
    .if \pairs > 1
    ldrsh   lr, [r2, #\at+8]
    resmcu_products r9, r10
    .if \next
    ldrsh   lr, [r2], #\next
    .else
    ldrsh   lr, [r2, #\at]
    .endif
    resmcu_products r7, r8
    .endif
    .endm

@ A step: four channels.
    .macro resmcu_step pairs
    resmcu_channel \pairs, 2, 0
    resmcu_channel \pairs, 4, 0
    resmcu_channel \pairs, 6, 0
    resmcu_channel \pairs, 0, 16
    .endm

@ void resmcu_sums_one, resmcu_sums_all(const context *)
@ context: inputs, weights, bytes from pair to pair, bytes of inputs of each sum (at least one,
@ each at least a step, a zero after the last), sums
    .macro resmcu_sums name, pairs
    .section .text.resmcu_sums_\name, "ax", %progbits
    .balign 4
    .global resmcu_sums_\name
    .type resmcu_sums_\name, %function
    .thumb_func
resmcu_sums_\name:
    push    {r4-r11, lr}
    sub     sp, #RESMCU_SUMS_FRAME
    mov     r12, sp
    movs    r4, #0
    movs    r5, #0
    movs    r6, #0
    movs    r7, #0
    stmia   r12!, {r4-r7}
    stmia   r12!, {r4-r7}
    ldm     r0, {r0-r4}
    add     r2, r1
    str     r4, [sp, #RESMCU_SUMS_OUT]
    mov     r12, r3
    ldr     r11, [r12], #4
1:  str     r12, [sp, #RESMCU_SUMS_COUNTS]
    add     r12, r0, r11
    str     r12, [sp, #RESMCU_SUMS_END]
    ldm     sp, {r3-r10}
    @ An odd number of steps enters in the middle.
    tst     r11, #16
    beq.w   2f
    b.w     3f
    .balign 4
2:  resmcu_step \pairs
3:  resmcu_step \pairs
    ldr     lr, [sp, #RESMCU_SUMS_END]
    cmp     r0, lr
    bne.w   2b
    ldr     lr, [sp, #RESMCU_SUMS_OUT]
    .if \pairs > 1
    stmia   lr!, {r3-r10}
    .else
    stmia   lr, {r3-r6}
    add     lr, #32
    .endif
    str     lr, [sp, #RESMCU_SUMS_OUT]
    ldr     r12, [sp, #RESMCU_SUMS_COUNTS]
    ldr     r11, [r12], #4
    cmp     r11, #0
    bne.w   1b
    add     sp, #RESMCU_SUMS_FRAME
    pop     {r4-r11, pc}
    .size resmcu_sums_\name, . - resmcu_sums_\name
    .endm

    resmcu_sums all, 2
    resmcu_sums one, 1
