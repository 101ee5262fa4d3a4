@ Winograd F(4x4, 3x3) on Helium: the passes of `portable`, of channels in sixteens.
@
@ Transforms are those of the header of `packed/winograd4.rs`, by lanes of their own: modulo 2^16 for
@ the inputs', whose results fit int16 as the header says, modulo 2^32 for the outputs'. Lanes need
@ no sign of their own before the end, so that the 128 that is added to each input comes after the
@ vertical pass: B^T of six ones is -6 in its first row and 0 in all others.
@
@ Words lie as `portable` has them, so that four quads of channels are words 16, or in `u` 480, bytes
@ apart. Products: VLD4 of words makes of four quads of two tiles, and of two outputs, one vector for
@ each tile's and each output's words; eight VMLADAV are 64 products, modulo 2^32.
    .syntax unified
    .thumb
    .cpu cortex-m55

    .equ MVE_QUADS_OF_U, 1920
    .equ MVE_QUADS_OF_V, 64

@ Four words at once: where the words of four quads are, from the first one.
    .section .rodata.resmcu_mve_winograd4, "a", %progbits
    .balign 16
resmcu_mve_winograd4_places:
    .word   0, 480, 960, 1440
    .word   0, 16, 32, 48
    .word   4, 20, 36, 52
    .word   0x3400, 0x3400, 0x3400, 0x3400

@ One dimension of the input transform, in place: q0..q5 become B^T u, in the order of points q1, q4,
@ q5, q3, q2, q0. q6, q7 free; \m4: -4.
    .macro mve_winograd4_input m4
    vsub.i16 q6, q4, q2
    vsub.i16 q7, q3, q1
    vsub.i16 q0, q0, q2
    vsub.i16 q5, q5, q3
    vmla.s16 q4, q2, \m4
    vmla.s16 q3, q1, \m4
    vmla.s16 q5, q7, \m4
    vshl.i16 q0, q0, #2
    vadd.i16 q7, q7, q7
    vadd.i16 q1, q4, q3
    vsub.i16 q4, q4, q3
    vadd.i16 q0, q0, q6
    vadd.i16 q3, q6, q7
    vsub.i16 q2, q6, q7
    .endm

@ void rows(const context *)
@ context: six rows, u, bytes of a pixel, end of row 0, 120 * channels - 4
@ r0-r5 rows, r6 u of the quads, r7 sixteens of a pixel, r8 -4, r9 768, r10 places, r11 step back, r12
@ end, lr loop.
    .section .text.resmcu_mve_winograd4_rows, "ax", %progbits
    .balign 4
    .global resmcu_mve_winograd4_rows
    .type resmcu_mve_winograd4_rows, %function
    .thumb_func
resmcu_mve_winograd4_rows:
    push    {r3-r11, lr}
    vpush   {d8-d15}
    ldrd    r7, r12, [r0, #28]
    ldr     r11, [r0, #36]
    ldm     r0, {r0-r6}
    lsr     r7, r7, #4
    mvn     r8, #3
    mov     r9, #768
    ldr     r10, =resmcu_mve_winograd4_places
1:  dls     lr, r7
2:
    .irp half, 0, 1
    .if \half
    vldrb.u8 q0, [r0], #16
    vldrb.u8 q1, [r1], #16
    vldrb.u8 q2, [r2], #16
    vldrb.u8 q3, [r3], #16
    vldrb.u8 q4, [r4], #16
    vldrb.u8 q5, [r5], #16
    .irp q, q0, q1, q2, q3, q4, q5
    vmovlt.s8 \q, \q
    .endr
    .else
    vldrb.u8 q0, [r0]
    vldrb.u8 q1, [r1]
    vldrb.u8 q2, [r2]
    vldrb.u8 q3, [r3]
    vldrb.u8 q4, [r4]
    vldrb.u8 q5, [r5]
    .irp q, q0, q1, q2, q3, q4, q5
    vmovlb.s8 \q, \q
    .endr
    .endif
    mve_winograd4_input r8
    vldrw.u32 q7, [r10]
    vsub.i16 q1, q1, r9
    vadd.i32 q7, q7, r6
    vstrw.32 q1, [q7, #240*\half]
    vstrw.32 q4, [q7, #240*\half+40]
    vstrw.32 q5, [q7, #240*\half+80]
    vstrw.32 q3, [q7, #240*\half+120]
    vstrw.32 q2, [q7, #240*\half+160]
    vstrw.32 q0, [q7, #240*\half+200]
    .endr
    add     r6, r6, #MVE_QUADS_OF_U
    le      lr, 2b
    sub     r6, r6, r11
    cmp     r0, r12
    bne     1b
    vpop    {d8-d15}
    pop     {r3-r11, pc}
    .ltorg
    .size resmcu_mve_winograd4_rows, . - resmcu_mve_winograd4_rows

@ void columns(const u32 *u, u32 *v, quads, bytes of a point)
@ r0 u of the quads, r1 v of the quads, r2 quads to go, r3 bytes of a point, r4-r9 a line of points of
@ v, r10 places, r11 bytes of the other five points of a line, r12 -4; on the stack where words of u are.
    .section .text.resmcu_mve_winograd4_columns, "ax", %progbits
    .balign 4
    .global resmcu_mve_winograd4_columns
    .type resmcu_mve_winograd4_columns, %function
    .thumb_func
resmcu_mve_winograd4_columns:
    push    {r3-r11, lr}
    vpush   {d8-d15}
    sub     sp, sp, #16
    ldr     r10, =resmcu_mve_winograd4_places
    mvn     r12, #3
    add     r11, r3, r3, lsl #1
    lsl     r11, r11, #1
1:  vldrw.u32 q7, [r10]
    vadd.i32 q7, q7, r0
    vstrw.32 q7, [sp]
    mov     r4, r1
    add     r5, r1, r3
    add     r6, r5, r3
    add     r7, r6, r3
    add     r8, r7, r3
    add     r9, r8, r3
    .irp line, 0, 1, 2, 3, 4, 5
    .irp half, 0, 1
    vldrw.u32 q7, [sp]
    vldrw.u32 q4, [q7, #240*\half+40*\line+16]
    vldrw.u32 q5, [q7, #240*\half+40*\line+20]
    vldrw.u32 q6, [r10, #48]
    vldrw.u32 q0, [q7, #240*\half+40*\line]
    vldrw.u32 q1, [q7, #240*\half+40*\line+4]
    vadd.i16 q4, q4, q6
    vldrw.u32 q2, [q7, #240*\half+40*\line+8]
    vadd.i16 q5, q5, q6
    vldrw.u32 q3, [q7, #240*\half+40*\line+12]
    mve_winograd4_input r12
    vldrw.u32 q7, [r10, #16+16*\half]
    vstrw.32 q1, [r4, q7]
    vstrw.32 q4, [r5, q7]
    vstrw.32 q5, [r6, q7]
    vstrw.32 q3, [r7, q7]
    vstrw.32 q2, [r8, q7]
    vstrw.32 q0, [r9, q7]
    .endr
    .if \line-5
    .irp point, r4, r5, r6, r7, r8, r9
    add     \point, \point, r11
    .endr
    .endif
    .endr
    add     r0, r0, #MVE_QUADS_OF_U
    add     r1, r1, #MVE_QUADS_OF_V
    subs    r2, r2, #4
    bne.w   1b
    add     sp, sp, #16
    vpop    {d8-d15}
    pop     {r3-r11, pc}
    .ltorg
    .size resmcu_mve_winograd4_columns, . - resmcu_mve_winograd4_columns

@ Sixteen channels of two tiles at r0 and of two outputs at r1: r2, r4 the first output's sums of both
@ tiles, r6, r8 the second one's. \a: `a` adds to them, nothing begins them.
    .macro mve_winograd4_step a
    vld40.32 {q0, q1, q2, q3}, [r0]
    vld41.32 {q0, q1, q2, q3}, [r0]
    vld42.32 {q0, q1, q2, q3}, [r0]
    vld43.32 {q0, q1, q2, q3}, [r0]!
    vld40.32 {q4, q5, q6, q7}, [r1]
    vld41.32 {q4, q5, q6, q7}, [r1]
    vld42.32 {q4, q5, q6, q7}, [r1]
    vld43.32 {q4, q5, q6, q7}, [r1]!
    vmladav\a\().s16 r2, q0, q4
    vmladav\a\().s16 r4, q2, q4
    vmladav\a\().s16 r6, q0, q6
    vmladav\a\().s16 r8, q2, q6
    vmladava.s16 r2, q1, q5
    vmladava.s16 r4, q3, q5
    vmladava.s16 r6, q1, q7
    vmladava.s16 r8, q3, q7
    .endm

@ All points, \steps steps each, \points at a time. r5 sums, r7 free, lr loop.
    .macro mve_winograd4_points steps, points
    mov     r7, #36/\points
    dls     lr, r7
7:
    .rept \points
    mve_winograd4_step
    .rept \steps-1
    mve_winograd4_step a
    .endr
    stm     r5!, {r2, r4, r6, r8}
    .endr
    le      lr, 7b
    b.w     5f
    .endm

@ One dimension of the output transform of q0..q5, in place: A^T m, of which row i is 3 * 2^(3,2,1,1)
@ times too large. Results: y0 in q5, y1 in q3, y2 in q6, y3 in q2. \two, \four: 2 and 4.
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

@ What is in memory behind r3, in bytes: sums, [point][output][tile]; then vectors for the four
@ outputs of a place: where they are from the first one, where the outputs' constants are, and these:
@ multiplier that undoes the scale, constant of most places, scale, last word; in the profile
@ `tflite` what is added, and minus the shift.
    .equ MVE_SUMS, -288
    .equ MVE_PLACES, 288
    .equ MVE_CONSTANTS, 304
    .equ MVE_MULTIPLIER, 320
    .equ MVE_PLACE, 336
    .equ MVE_SCALE, 352
    .equ MVE_LAST, 368
    .equ MVE_SHIFT, 384
    .equ MVE_FRAME, 688

@ Scales the accumulator \t in the profile `tflite`: q4 scale, q1 addend, q7 minus the shift. q0 free.
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
@ context: v, sixteens of channels, y, weights, their end, bytes of a pixel, row of y less four pixels,
@          form
@ r0 v, then output; r1 weights and constants, r3 the middle of the sums, r10 output of the pair, r11
@ context. In the products r5 sums, r12 steps but one; then r5 4, r7 2, r9 a pixel, r12 to the next row.
    .section .text.resmcu_mve_winograd4_products, "ax", %progbits
    .balign 4
    .global resmcu_mve_winograd4_products
    .type resmcu_mve_winograd4_products, %function
    .thumb_func
resmcu_mve_winograd4_products:
    push    {r3-r11, lr}
    vpush   {d8-d15}
    sub     sp, sp, #MVE_FRAME
    add     r3, sp, #-MVE_SUMS
    mov     r11, r0
    ldrd    r10, r1, [r11, #8]
    ldr     r9, [r11, #20]
    @ The first output of both tiles, and the second one.
    movs    r0, #0
    movs    r2, #1
    lsl     r4, r9, #2
    add     r6, r4, #1
    vmov    q0[2], q0[0], r0, r2
    vmov    q0[3], q0[1], r4, r6
    vstrw.32 q0, [r3, #MVE_PLACES]
    @ A pair of outputs.
1:  ldrd    r0, r7, [r11]
    mov     r5, sp
    subs    r12, r7, #1
    beq.w   2f
    cmp     r7, #2
    beq.w   3f
    cmp     r7, #4
    beq.w   4f
    mov     r7, #36
8:  mve_winograd4_step
    dls     lr, r12
9:  mve_winograd4_step a
    le      lr, 9b
    stm     r5!, {r2, r4, r6, r8}
    subs    r7, r7, #1
    bne.w   8b
    b.w     5f
2:  mve_winograd4_points 1, 6
3:  mve_winograd4_points 2, 3
4:  mve_winograd4_points 4, 1

    @ The constants of both outputs.
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
    movs    r5, #4
    movs    r7, #2
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
    ldr     r6, [r11, #16]
    cmp     r1, r6
    bne.w   1b
    add     sp, sp, #MVE_FRAME
    vpop    {d8-d15}
    pop     {r3-r11, pc}
    .size resmcu_mve_winograd4_products, . - resmcu_mve_winograd4_products
