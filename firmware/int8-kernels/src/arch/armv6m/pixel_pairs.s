@ Two pixels in one MUL, on Armv6-M, from inputs to outputs: what `arch::pixel_pairs` computes with
@ the sums of `portable::pixel_pairs`.
@
@ A word holds x0 + 2^16 x1 of two pixels, so that one multiplication with a weight makes both
@ products. Products of a segment of weights are added up in a word, while the lower sum stays
@ inside of its 16 bits: while the absolute values of the segment's weights add up to 255 at most.
@ Then the word is added to the sum of all words, and its upper half, rounded, to the sum of the
@ second pixel; in the end the second times 2^16 taken from the first leaves the sum of the first
@ pixel, modulo 2^32. The header of `packed/pixel_pairs.rs` proves that the rounded half is the
@ second pixel's sum.
@
@ One output after another, of two words, which is four pixels. A weight is 3 loads, 2
@ multiplications and 2 additions for 4 products, and the first one of a segment needs no additions.
@ Registers of the products:
@   r0       inputs: both words of each weight
@   r1       weights, of which every second one is this output's
@   r2, r3   a segment's sums
@   r4       a weight
@   r5, r6   inputs, products
@   r7       2^15, which rounds
@   r8, r9   the sums of all words
@   r10, r11 the sums of the second pixels
@   r12      lengths of segments, a byte for each eight weights
@   lr       where the inputs end
@ Registers of the requantization in the profile `native`:
@   r0 m, r1 bias, r2 j, r3 e, r4 output, r5 and r6 free, r7 weight of the residual
@ and in the profile `tflite`:
@   r0, r1 lower and upper half of m, r3 shift right, r4 output, r2 and r5 to r7 free
@   r11, r12 the bits that are shifted out, m
@   lr       the accumulator
@ In both, r8 and r9 are the smallest and the largest result, in the profile `tflite` less the zero
@ point, and r10 the bytes to the output of the next pixel.
    .syntax unified
    .thumb

    .equ RESMCU_PAIRS_X, 0
    .equ RESMCU_PAIRS_X_END, 4
    .equ RESMCU_PAIRS_Y, 8
    .equ RESMCU_PAIRS_Y_END, 12
    .equ RESMCU_PAIRS_NEXT_PIXEL, 16
    .equ RESMCU_PAIRS_LOW, 20
    .equ RESMCU_PAIRS_HIGH, 24
    .equ RESMCU_PAIRS_ZERO, 28
    .equ RESMCU_PAIRS_FORM, 32
    .equ RESMCU_PAIRS_HEADER, 36
    .equ RESMCU_PAIRS_PACKED, 40
    .equ RESMCU_PAIRS_RECORD, 44
    .equ RESMCU_PAIRS_WEIGHTS, 48
    .equ RESMCU_PAIRS_WEIGHTS_END, 52
    .equ RESMCU_PAIRS_ROUND, 56
    .equ RESMCU_PAIRS_BIAS, 60
    .equ RESMCU_PAIRS_SHIFT, 64
    .equ RESMCU_PAIRS_SUMS, 68
    .equ RESMCU_PAIRS_FRAME, 84
@ Bytes of the constants of one output, and of both.
    .equ RESMCU_PAIRS_RECORD_BYTES, 12
    .equ RESMCU_PAIRS_RECORDS_BYTES, 24

@ Weight \at.
    .macro resmcu_pixel_pairs_weight at
    ldrb    r4, [r1, #2*(\at)]
    sxtb    r4, r4
    .endm

@ \count weights from \at on.
    .macro resmcu_pixel_pairs_segment at, count
    resmcu_pixel_pairs_weight \at
    ldmia   r0!, {r2, r3}
    muls    r2, r4, r2
    muls    r3, r4, r3
    .irp next, 1, 2, 3, 4, 5, 6, 7
    .if \next < \count
    resmcu_pixel_pairs_weight \at+\next
    ldmia   r0!, {r5, r6}
    muls    r5, r4, r5
    adds    r2, r2, r5
    muls    r6, r4, r6
    adds    r3, r3, r6
    .endif
    .endr
    add     r8, r2
    adds    r2, r2, r7
    asrs    r2, r2, #16
    add     r10, r2
    add     r9, r3
    adds    r3, r3, r7
    asrs    r3, r3, #16
    add     r11, r3
    .endm

@ The sums of both pixels of a word go to r6.
    .macro resmcu_pixel_pairs_take all, second
    mov     r2, \all
    mov     r3, \second
    lsls    r4, r3, #16
    subs    r2, r2, r4
    stmia   r6!, {r2, r3}
    .endm

@ Clamps the output \v and stores it, in the profile `tflite` with the zero point added.
    .macro resmcu_pixel_pairs_store v, tflite
    cmp     \v, r8
    bge     1f
    mov     \v, r8
1:  cmp     \v, r9
    ble     1f
    mov     \v, r9
1:  .if \tflite
    ldr     r7, [sp, #RESMCU_PAIRS_ZERO]
    adds    \v, \v, r7
    .endif
    strb    \v, [r4]
    add     r4, r10
    .endm

@ The output of the pixel \pixel: (t * m) >> 16 by two products of 31 bits, t = 2^16 h + l, as
@ `requantize.rs` has it, then the rest of the shift.
    .macro resmcu_pixel_pairs_native pixel, joins
    ldr     r5, [sp, #RESMCU_PAIRS_SUMS+4*\pixel]
    lsls    r5, r2
    adds    r5, r5, r1
    .if \joins
    movs    r6, #0
    ldrsb   r6, [r4, r6]
    muls    r6, r7, r6
    adds    r5, r5, r6
    .endif
    uxth    r6, r5
    asrs    r5, r5, #16
    muls    r5, r0, r5
    muls    r6, r0, r6
    lsrs    r6, r6, #16
    adds    r5, r5, r6
    asrs    r5, r3
    resmcu_pixel_pairs_store r5, 0
    .endm

@ The same in the profile `tflite`, by the functions of `requantize.rs` whose names end in
@ `by_halves`, and `rounding_divide_by_pot`.
    .macro resmcu_pixel_pairs_tflite pixel
    ldr     r5, [sp, #RESMCU_PAIRS_SUMS+4*\pixel]
    ldr     r2, [sp, #RESMCU_PAIRS_BIAS]
    adds    r5, r5, r2
    ldr     r2, [sp, #RESMCU_PAIRS_SHIFT]
    lsls    r5, r2
    mov     lr, r5
    asrs    r6, r5, #16
    uxth    r5, r5
    movs    r7, r5
    muls    r7, r0, r7
    lsrs    r7, r7, #16
    movs    r2, r6
    muls    r2, r0, r2
    adds    r7, r7, r2
    uxth    r2, r7
    muls    r5, r1, r5
    adds    r5, r5, r2
    asrs    r5, r5, #16
    muls    r6, r1, r6
    adds    r6, r6, r5
    asrs    r7, r7, #16
    adds    r6, r6, r7
    @ r6 the upper half of the product; twice that, and what its lower half rounds to.
    mov     r2, lr
    mov     r7, r12
    muls    r2, r7, r2
    lsrs    r2, r2, #30
    adds    r2, r2, #1
    lsrs    r2, r2, #1
    lsls    r6, r6, #1
    adds    r6, r6, r2
    @ One more where what is shifted out is more than half, below zero than half and one.
    mov     r2, r11
    lsrs    r7, r2, #1
    ands    r2, r2, r6
    lsrs    r5, r6, #31
    adds    r7, r7, r5
    asrs    r6, r3
    cmp     r2, r7
    ble     1f
    adds    r6, r6, #1
1:  resmcu_pixel_pairs_store r6, 1
    .endm

@ void resmcu_pixel_pairs(const context *)
@ context: that of `arch::pixel_pairs::in_assembly`
    .section .text.resmcu_pixel_pairs, "ax", %progbits
    .balign 4
    .global resmcu_pixel_pairs
    .type resmcu_pixel_pairs, %function
    .thumb_func
resmcu_pixel_pairs:
    push    {r4-r7, lr}
    mov     r4, r8
    mov     r5, r9
    mov     r6, r10
    mov     r7, r11
    push    {r4-r7}
    sub     sp, #RESMCU_PAIRS_FRAME
    mov     r1, sp
    ldmia   r0!, {r2-r6}
    stmia   r1!, {r2-r6}
    ldmia   r0!, {r2-r7}
    stmia   r1!, {r2-r7}
    movs    r1, #1
    lsls    r1, r1, #15
    str     r1, [sp, #RESMCU_PAIRS_ROUND]
.Lresmcu_pixel_pairs_pair:
    ldr     r1, [sp, #RESMCU_PAIRS_PACKED]
    str     r1, [sp, #RESMCU_PAIRS_RECORD]
    ldr     r3, [sp, #RESMCU_PAIRS_HEADER]
    adds    r1, r1, r3
    @ One output, whose weights begin at r1.
.Lresmcu_pixel_pairs_output:
    str     r1, [sp, #RESMCU_PAIRS_WEIGHTS]
    ldr     r2, [sp, #RESMCU_PAIRS_PACKED]
    adds    r2, #RESMCU_PAIRS_RECORDS_BYTES
    mov     r12, r2
    ldr     r0, [sp, #RESMCU_PAIRS_X]
    ldr     r2, [sp, #RESMCU_PAIRS_X_END]
    mov     lr, r2
    ldr     r7, [sp, #RESMCU_PAIRS_ROUND]
    movs    r2, #0
    mov     r8, r2
    mov     r9, r2
    mov     r10, r2
    mov     r11, r2
    @ Eight weights, which have segments of 4, 8, 3, 2, or, rarely, of 1.
.Lresmcu_pixel_pairs_eight:
    mov     r4, r12
    ldrb    r5, [r4]
    adds    r4, r4, #1
    mov     r12, r4
    cmp     r5, #4
    bne     2f
    resmcu_pixel_pairs_segment 0, 4
    resmcu_pixel_pairs_segment 4, 4
.Lresmcu_pixel_pairs_next:
    adds    r1, #16
    cmp     r0, lr
    bne     .Lresmcu_pixel_pairs_eight
    b       .Lresmcu_pixel_pairs_sums
2:  bls     3f
    b       .Lresmcu_pixel_pairs_long
3:  cmp     r5, #3
    bne     4f
    resmcu_pixel_pairs_segment 0, 3
    resmcu_pixel_pairs_segment 3, 3
    resmcu_pixel_pairs_segment 6, 2
    b       .Lresmcu_pixel_pairs_next
4:  cmp     r5, #2
    bne     5f
    resmcu_pixel_pairs_segment 0, 2
    resmcu_pixel_pairs_segment 2, 2
    resmcu_pixel_pairs_segment 4, 2
    resmcu_pixel_pairs_segment 6, 2
    b       .Lresmcu_pixel_pairs_next
5:  movs    r5, #8
6:  resmcu_pixel_pairs_segment 0, 1
    adds    r1, r1, #2
    subs    r5, r5, #1
    bne     6b
    subs    r1, #16
    b       .Lresmcu_pixel_pairs_next
.Lresmcu_pixel_pairs_long:
    resmcu_pixel_pairs_segment 0, 8
    b       .Lresmcu_pixel_pairs_next
.Lresmcu_pixel_pairs_sums:
    add     r6, sp, #RESMCU_PAIRS_SUMS
    resmcu_pixel_pairs_take r8, r10
    resmcu_pixel_pairs_take r9, r11
    str     r1, [sp, #RESMCU_PAIRS_WEIGHTS_END]
    ldr     r4, [sp, #RESMCU_PAIRS_Y]
    adds    r5, r4, #1
    str     r5, [sp, #RESMCU_PAIRS_Y]
    ldr     r5, [sp, #RESMCU_PAIRS_LOW]
    mov     r8, r5
    ldr     r5, [sp, #RESMCU_PAIRS_HIGH]
    mov     r9, r5
    ldr     r5, [sp, #RESMCU_PAIRS_NEXT_PIXEL]
    mov     r10, r5
    ldr     r5, [sp, #RESMCU_PAIRS_RECORD]
    ldr     r6, [sp, #RESMCU_PAIRS_FORM]
    cmp     r6, #1
    bls     2f
    b       .Lresmcu_pixel_pairs_tflite
2:  ldr     r1, [r5]
    ldr     r7, [r5, #4]
    ldrh    r0, [r5, #8]
    ldrb    r2, [r5, #10]
    ldrb    r3, [r5, #11]
    beq     2f
    .irp pixel, 0, 1, 2, 3
    resmcu_pixel_pairs_native \pixel, 0
    .endr
    b       .Lresmcu_pixel_pairs_stored
2:  .irp pixel, 0, 1, 2, 3
    resmcu_pixel_pairs_native \pixel, 1
    .endr
    @ The other output of the pair, or the next pair, which begins one byte before this one's end.
.Lresmcu_pixel_pairs_stored:
    ldr     r0, [sp, #RESMCU_PAIRS_Y]
    ldr     r2, [sp, #RESMCU_PAIRS_Y_END]
    cmp     r0, r2
    beq     5f
    ldr     r2, [sp, #RESMCU_PAIRS_RECORD]
    ldr     r3, [sp, #RESMCU_PAIRS_PACKED]
    cmp     r2, r3
    bne     4f
    adds    r2, #RESMCU_PAIRS_RECORD_BYTES
    str     r2, [sp, #RESMCU_PAIRS_RECORD]
    ldr     r1, [sp, #RESMCU_PAIRS_WEIGHTS]
    adds    r1, r1, #1
    b       .Lresmcu_pixel_pairs_output
4:  ldr     r1, [sp, #RESMCU_PAIRS_WEIGHTS_END]
    subs    r1, r1, #1
    str     r1, [sp, #RESMCU_PAIRS_PACKED]
    b       .Lresmcu_pixel_pairs_pair
5:  add     sp, #RESMCU_PAIRS_FRAME
    pop     {r4-r7}
    mov     r8, r4
    mov     r9, r5
    mov     r10, r6
    mov     r11, r7
    pop     {r4-r7, pc}
    @ A shift is to the left if it is positive, else to the right.
.Lresmcu_pixel_pairs_tflite:
    ldmia   r5!, {r0-r2}
    str     r0, [sp, #RESMCU_PAIRS_BIAS]
    movs    r3, #0
    cmp     r2, #0
    bge     2f
    subs    r3, r3, r2
    movs    r2, #0
2:  str     r2, [sp, #RESMCU_PAIRS_SHIFT]
    movs    r2, #1
    lsls    r2, r3
    subs    r2, r2, #1
    mov     r11, r2
    mov     r12, r1
    uxth    r0, r1
    lsrs    r1, r1, #16
    .irp pixel, 0, 1, 2, 3
    resmcu_pixel_pairs_tflite \pixel
    .endr
    b       .Lresmcu_pixel_pairs_stored
    .size resmcu_pixel_pairs, . - resmcu_pixel_pairs

@ A byte of a row, \at bytes from r0, goes to every second word: to the lower half of an empty one,
@ or times 2^16 to what is there.
    .macro resmcu_widen_byte at, second
    ldrb    r3, [r0, #\at]
    .if \second
    ldr     r4, [r1, #8*\at]
    lsls    r3, r3, #24
    asrs    r3, r3, #8
    adds    r3, r3, r4
    .else
    sxtb    r3, r3
    .endif
    str     r3, [r1, #8*\at]
    .endm

@ void NAME(const i8 *row, u32 *slots, count), at least one
    .macro resmcu_widen name, second
    .section .text.\name, "ax", %progbits
    .balign 4
    .global \name
    .type \name, %function
    .thumb_func
\name:
    push    {r4, lr}
    subs    r2, r2, #4
    blo     2f
1:  .irp at, 0, 1, 2, 3
    resmcu_widen_byte \at, \second
    .endr
    adds    r0, r0, #4
    adds    r1, #32
    subs    r2, r2, #4
    bhs     1b
2:  adds    r2, r2, #4
    beq     4f
3:  resmcu_widen_byte 0, \second
    adds    r0, r0, #1
    adds    r1, #8
    subs    r2, r2, #1
    bne     3b
4:  pop     {r4, pc}
    .size \name, . - \name
    .endm

    resmcu_widen resmcu_armv6m_widen_first, 0
    resmcu_widen resmcu_armv6m_widen_second, 1
