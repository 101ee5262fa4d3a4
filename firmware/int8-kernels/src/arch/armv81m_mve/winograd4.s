@ The products and outputs of Winograd's F(4x4, 3x3) on Helium: `products` of `portable`, of
@ channels in sixteens.
@
@ VLD4 of words makes of four quads of channels of two tiles, or of two outputs, a vector for each
@ tile's or output's two words; eight VMLADAV of them are 64 products, added modulo 2^32 for any
@ int16. Two pairs of outputs share what is loaded of the tiles. Then a vector is a place of both
@ tiles and both outputs of a pair, and the output transform and the requantization are those of the
@ header of `packed/winograd4.rs` in its lanes: all modulo 2^32, and the upper half of the last
@ product.
    .syntax unified
    .thumb
    .cpu cortex-m55

@ Sixteen channels of two tiles in q0 to q3 times those of two outputs at \w: \s0, \s1 the first
@ output's sums of both tiles, \s2, \s3 the second one's. \a: `a` adds to them, nothing begins them.
    .macro mve_winograd4_multiply w, s0, s1, s2, s3, a
    vld40.32 {q4, q5, q6, q7}, [\w]
    vld41.32 {q4, q5, q6, q7}, [\w]
    vld42.32 {q4, q5, q6, q7}, [\w]
    vld43.32 {q4, q5, q6, q7}, [\w]!
    vmladav\a\().s16 \s0, q0, q4
    vmladav\a\().s16 \s1, q2, q4
    vmladav\a\().s16 \s2, q0, q6
    vmladav\a\().s16 \s3, q2, q6
    vmladava.s16 \s0, q1, q5
    vmladava.s16 \s1, q3, q5
    vmladava.s16 \s2, q1, q7
    vmladava.s16 \s3, q3, q7
    .endm

@ Sixteen channels at r1 times those of \outputs outputs: a pair at r3, and one at r5. Sums are in
@ the eight even registers, the only ones that VMLADAV adds to.
    .macro mve_winograd4_step outputs, a
    vld40.32 {q0, q1, q2, q3}, [r1]
    vld41.32 {q0, q1, q2, q3}, [r1]
    vld42.32 {q0, q1, q2, q3}, [r1]
    vld43.32 {q0, q1, q2, q3}, [r1]!
    mve_winograd4_multiply r3, r0, r2, r4, r6, \a
    .if \outputs == 4
    mve_winograd4_multiply r5, r8, r10, r12, lr, \a
    .endif
    .endm

@ Keeps the sums of a point at r7, the second pair's so many bytes further up.
    .macro mve_winograd4_keep outputs
    stm     r7!, {r0, r2, r4, r6}
    .if \outputs == 4
    strd    r8, r10, [r7, #MVE_PAIR-16]
    strd    r12, lr, [r7, #MVE_PAIR-8]
    .endif
    .endm

@ All points, \steps steps each, \points at a time; then on to \then. r9 loop.
    .macro mve_winograd4_points outputs, steps, points, then
    mov     r9, #36/\points
7:
    .rept \points
    mve_winograd4_step \outputs
    .rept \steps-1
    mve_winograd4_step \outputs, a
    .endr
    mve_winograd4_keep \outputs
    .endr
    subs    r9, r9, #1
    bne.w   7b
    b.w     \then
    .endm

@ The same of any number of steps, which the context has.
    .macro mve_winograd4_points_any outputs, then
8:  ldr     r9, [r11, #4]
    mve_winograd4_step \outputs
    subs    r9, r9, #1
    beq     10f
9:  mve_winograd4_step \outputs, a
    subs    r9, r9, #1
    bne.w   9b
10: mve_winograd4_keep \outputs
    sub     r9, r7, #576
    cmp     r9, sp
    bne.w   8b
    b.w     \then
    .endm

@ By the number of steps; some have loops of their own.
    .macro mve_winograd4_products outputs, then
    ldr     r9, [r11, #4]
    cmp     r9, #2
    blo.w   2f
    beq.w   3f
    cmp     r9, #4
    beq.w   4f
    mve_winograd4_points_any \outputs, \then
2:  mve_winograd4_points \outputs, 1, 3, \then
3:  mve_winograd4_points \outputs, 2, 2, \then
4:  mve_winograd4_points \outputs, 4, 1, \then
    .endm

@ One dimension of the output transform of q0..q5, in place: A^T m, of which row i is
@ 3 * 2^(3,2,1,1) times too large. Results: y0 in q5, y1 in q3, y2 in q6, y3 in q2. \two: 2,
@ \four: 4.
    .macro mve_winograd4_output two, four
    vsub.i32 q6, q0, q1
    vadd.i32 q0, q0, q1
    vadd.i32 q7, q3, q4
    vsub.i32 q3, q3, q4
    vadd.i32 q5, q5, q7
    vadd.i32 q2, q2, q0
    vmla.s32 q5, q6, \four
    vadd.i32 q6, q6, q7
    vmla.s32 q2, q3, \two
    vmla.s32 q3, q0, \two
    .endm

@ What is in memory around r3, in bytes: sums, [point][output][tile]; then vectors for the four
@ outputs of a place: where they are from the first one, where the outputs' constants are, and
@ these: multiplier that undoes the scale, constant of most places, scale, last word; in the profile
@ `tflite` what is added, and minus the shift. That of a second pair of outputs follows.
    .equ MVE_SUMS, -288
    .equ MVE_PLACES, 288
    .equ MVE_CONSTANTS, 304
    .equ MVE_MULTIPLIER, 320
    .equ MVE_PLACE, 336
    .equ MVE_SCALE, 352
    .equ MVE_LAST, 368
    .equ MVE_SHIFT, 384
    .equ MVE_PAIR, 688
    .equ MVE_Y, 2*MVE_PAIR
    .equ MVE_FRAME, 2*MVE_PAIR+8

@ Scales the accumulator \t in the profile `tflite`: q4 scale, q1 addend, q7 minus the shift. q0 is
@ free.
    .macro mve_winograd4_tflite t
    vshr.s32 q0, \t, #31
    vmulh.s32 \t, \t, q4
    vshl.i32 q0, q0, #5
    vadd.i32 \t, \t, q1
    vadd.i32 \t, \t, q0
    vshl.s32 \t, \t, q7
    .endm

@ Four pixels of a row, whose scale is \shift powers of two away from the first row's. r0 output, r5
@ 4, r7 2, r9 a pixel, r12 from behind the row to the next one.
    .macro mve_winograd4_row i, shift, form
    .irp j, 0, 1, 2, 3, 4, 5
    vldrw.u32 q\j, [r3, #MVE_SUMS+96*\i+16*\j]
    .endr
    mve_winograd4_output r7, r5
    vldrw.u32 q0, [r3, #MVE_MULTIPLIER]
    vldrw.u32 q1, [r3, #MVE_PLACE]
    .if \shift
    vshl.i32 q0, q0, #\shift
    .endif
    vmul.i32 q5, q5, q0
    vshl.i32 q0, q0, #1
    vmul.i32 q3, q3, q0
    vshl.i32 q0, q0, #1
    vmul.i32 q6, q6, q0
    vadd.i32 q5, q5, q1
    vmul.i32 q2, q2, q0
    vadd.i32 q3, q3, q1
    .if \i > 1
    vldrw.u32 q7, [r3, #MVE_CONSTANTS]
    vldrw.u32 q0, [q7, #16*\i+8]
    vldrw.u32 q1, [q7, #16*\i+12]
    vadd.i32 q6, q6, q0
    .else
    vadd.i32 q6, q6, q1
    .endif
    vldrw.u32 q4, [r3, #MVE_SCALE]
    vadd.i32 q2, q2, q1
    .if \form
    vldrw.u32 q1, [r3, #MVE_LAST]
    .endif
    .if \form == 2
    vldrw.u32 q7, [r3, #MVE_SHIFT]
    mve_winograd4_tflite q5
    mve_winograd4_tflite q3
    mve_winograd4_tflite q6
    mve_winograd4_tflite q2
    .endif
    vldrw.u32 q7, [r3, #MVE_PLACES]
    .irp t, q5, q3, q6, q2
    .if \form == 1
    vldrb.s32 q0, [r0, q7]
    vmul.i32 q0, q0, q1
    vadd.i32 \t, \t, q0
    .endif
    .if \form < 2
    vmulh.s32 \t, \t, q4
    .endif
    vqmovnb.s32 \t, \t
    vqmovnb.s16 \t, \t
    vstrb.32 \t, [r0, q7]
    add     r0, r0, r9
    .endr
    .if \i-3
    add     r0, r0, r12
    .endif
    .endm

    .macro mve_winograd4_rows_out form
    mve_winograd4_row 0, 0, \form
    mve_winograd4_row 1, 1, \form
    mve_winograd4_row 2, 2, \form
    mve_winograd4_row 3, 2, \form
    .endm

@ void products(const context *)
@ context: v, sixteens of channels, y, weights, their end, bytes of a pixel, row of y less four
@          pixels, form, bytes of a pair's weights
@ In the products: r1 v, r3 and r5 weights of two pairs of outputs, r7 sums, r9 loop, r11 context,
@ the rest sums. Then r0 output, r1 constants, r3 the middle of the sums, r4 constants of the second
@ pair, or 0, r5 4, r7 2, r9 a pixel, r10 output of the pair, r11 context, r12 to the next row;
@ r2, r6, r8, lr free.
    .section .text.resmcu_mve_winograd4_products, "ax", %progbits
    .balign 4
    .global resmcu_mve_winograd4_products
    .type resmcu_mve_winograd4_products, %function
    .thumb_func
resmcu_mve_winograd4_products:
    push    {r3-r11, lr}
    vpush   {d8-d15}
    sub     sp, sp, #MVE_FRAME
    mov     r11, r0
    ldrd    r10, r3, [r11, #8]
    ldr     r9, [r11, #20]
    @ The first output of both tiles, and the second one.
    movs    r0, #0
    movs    r2, #1
    lsl     r4, r9, #2
    add     r6, r4, #1
    vmov    q0[2], q0[0], r0, r2
    vmov    q0[3], q0[1], r4, r6
    add     r1, sp, #-MVE_SUMS
    vstrw.32 q0, [r1, #MVE_PLACES]
    add     r1, r1, #MVE_PAIR
    vstrw.32 q0, [r1, #MVE_PLACES]

    @ Two pairs of outputs, or the last one.
resmcu_mve_winograd4_pairs:
    str     r10, [sp, #MVE_Y]
    ldr     r6, [r11, #16]
    ldr     r5, [r11, #32]
    ldr     r1, [r11]
    add     r5, r5, r3
    mov     r7, sp
    cmp     r5, r6
    beq.w   1f
    mve_winograd4_products 4, resmcu_mve_winograd4_outputs_of_4
1:  mve_winograd4_products 2, resmcu_mve_winograd4_outputs_of_2

resmcu_mve_winograd4_outputs_of_2:
    movs    r5, #0
resmcu_mve_winograd4_outputs_of_4:
    mov     r4, r5
    mov     r1, r3
    add     r3, sp, #-MVE_SUMS
    ldr     r10, [sp, #MVE_Y]
    ldr     r9, [r11, #20]
    movs    r5, #4
    movs    r7, #2
    @ The constants of both outputs of a pair.
5:  add     r2, r1, #76
    vmov    q0[2], q0[0], r1, r2
    vmov    q0[3], q0[1], r1, r2
    vldrw.u32 q1, [q0, #64]
    vldrw.u32 q2, [q0]
    vldrw.u32 q3, [q0, #68]
    vldrw.u32 q4, [q0, #72]
    vstrw.32 q0, [r3, #MVE_CONSTANTS]
    vstrw.32 q1, [r3, #MVE_MULTIPLIER]
    vstrw.32 q2, [r3, #MVE_PLACE]
    vstrw.32 q3, [r3, #MVE_SCALE]
    ldrd    r12, r6, [r11, #24]
    add     r1, r1, #152
    cmp     r6, #2
    bne     6f
    vmov.i32 q5, #31
    vand    q6, q4, q5
    vmov.i32 q5, #16
    vsub.i32 q4, q4, q6
    vneg.s32 q6, q6
    vadd.i32 q4, q4, q5
    vstrw.32 q6, [r3, #MVE_SHIFT]
6:  vstrw.32 q4, [r3, #MVE_LAST]
    @ Columns of points, in place.
    .irp j, 0, 1, 2, 3, 4, 5
    .irp i, 0, 1, 2, 3, 4, 5
    vldrw.u32 q\i, [r3, #MVE_SUMS+96*\i+16*\j]
    .endr
    mve_winograd4_output r7, r5
    vstrw.32 q5, [r3, #MVE_SUMS+16*\j]
    vstrw.32 q3, [r3, #MVE_SUMS+96+16*\j]
    vstrw.32 q6, [r3, #MVE_SUMS+192+16*\j]
    vstrw.32 q2, [r3, #MVE_SUMS+288+16*\j]
    .endr
    mov     r0, r10
    cmp     r6, #1
    bhs.w   6f
    mve_winograd4_rows_out 0
    b.w     7f
6:  bne.w   6f
    mve_winograd4_rows_out 1
    b.w     7f
6:  mve_winograd4_rows_out 2
7:  add     r10, r10, #2
    cbz     r4, 8f
    mov     r1, r4
    movs    r4, #0
    add     r3, r3, #MVE_PAIR
    b.w     5b
8:  ldr     r6, [r11, #16]
    mov     r3, r1
    cmp     r3, r6
    bne.w   resmcu_mve_winograd4_pairs
    add     sp, sp, #MVE_FRAME
    vpop    {d8-d15}
    pop     {r3-r11, pc}
    .size resmcu_mve_winograd4_products, . - resmcu_mve_winograd4_products
