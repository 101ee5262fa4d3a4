@ Winograd F(4x4, 3x3) on Armv7E-M and Armv8-M with DSP and FPU: the passes of `portable`.
@
@ General registers hold data and pointers only; what is needed once a loop (ends, strides,
@ addresses) waits in the caller-saved half of the FPU's registers, which costs one VMOV instead of
@ a load. The accumulators are pushed, so that the stack pointer is valid for interrupts at every
@ instruction. A pair of outputs is 36 points of steps of `dual_step.s`; then, for each of both, all
@ rows of points are transformed back, and one column of outputs of both tiles after another.
@
@ Accumulators begin at zero with every third point, so that the sums of a row are those of the
@ header of `packed/winograd4.rs`: m0, d, e, m3, s, z. They lie where one LDM reads a row of six of
@ both tiles. Those of the pair's first output are pushed, those of the second go 288 bytes further
@ up, where a push leaves room for them too:
@   sp       sums of the first output, points 35 to 0, [point][tile]
@   sp+288   sums of the second one
@   sp+576   a pass over rows: [column of outputs][row of points 2, 4, 3, 1, 0, 5][tile]
@   sp+768   where the weights go on
@
@ Inputs and weights are transformed two lanes a word: inputs as one number (`winograd4_input.s`
@ proves that its lanes come apart), weights by SADD16 and SSUB16. Both fit int16: by the header of
@ `packed/winograd4.rs` -12750 <= V <= 17340, 0x3400 more in the low lane, and |U| <= 6272. Sums,
@ output transform and multiplier are modulo 2^32, which ends in `t` below 2^31.
    .equ WINOGRAD4_SUMS, 288
    .equ WINOGRAD4_ROWS, 576
    .equ WINOGRAD4_WEIGHTS, 768
    .equ WINOGRAD4_FRAME, 488

@ void rows(const context *)
@ context: six rows, u, bytes of a pixel, end of row 0, 120 * channels - 4
@ r0-r5 rows, r6 u, r7-r12 data, lr free; s0 end of the pixel, s1 its bytes, s2 end, s3 step back.
    .section .text.resmcu_winograd4_rows, "ax", %progbits
    .balign 4
    .global resmcu_winograd4_rows
    .type resmcu_winograd4_rows, %function
    .thumb_func
resmcu_winograd4_rows:
    push    {r4-r11, lr}
    add     r1, r0, #28
    vldmia  r1, {s1-s3}
    ldm     r0, {r0-r6}
1:  vmov    lr, s1
    add     lr, r0, lr
    vmov    s0, lr
2:
    .irp half, 0, 1
    .if \half
    ldr     r7, [r0], #4
    ldr     r8, [r1], #4
    ldr     r9, [r2], #4
    ldr     r10, [r3], #4
    ldr     r11, [r4], #4
    ldr     r12, [r5], #4
    mov     lr, #0x00800080
    sxtab16 r7, lr, r7, ror #8
    sxtab16 r8, lr, r8, ror #8
    sxtab16 r9, lr, r9, ror #8
    sxtab16 r10, lr, r10, ror #8
    sxtab16 r11, lr, r11, ror #8
    sxtab16 r12, lr, r12, ror #8
    .else
    ldr     r7, [r0]
    ldr     r8, [r1]
    ldr     r9, [r2]
    ldr     r10, [r3]
    ldr     r11, [r4]
    ldr     r12, [r5]
    mov     lr, #0x00800080
    sxtab16 r7, lr, r7
    sxtab16 r8, lr, r8
    sxtab16 r9, lr, r9
    sxtab16 r10, lr, r10
    sxtab16 r11, lr, r11
    sxtab16 r12, lr, r12
    .endif
    winograd4_input r7, r8, r9, r10, r11, r12, lr
    str     r8, [r6, #240*\half]
    str     r11, [r6, #240*\half+40]
    str     r12, [r6, #240*\half+80]
    str     r10, [r6, #240*\half+120]
    str     r9, [r6, #240*\half+160]
    str     r7, [r6, #240*\half+200]
    .endr
    add     r6, r6, #480
    vmov    lr, s0
    cmp     r0, lr
    bne     2b
    vmov    lr, s3
    sub     r6, r6, lr
    vmov    lr, s2
    cmp     r0, lr
    bne     1b
    pop     {r4-r11, pc}
    .size resmcu_winograd4_rows, . - resmcu_winograd4_rows

@ Keeps the sums of a point. Four single stores take four cycles, where PUSH and STRD take six.
    .macro winograd4_keep
    str     r2, [sp, #-8]!
    str     r3, [sp, #4]
    str     r4, [sp, #WINOGRAD4_SUMS]
    str     r5, [sp, #WINOGRAD4_SUMS+4]
    .endm

@ All points, \steps steps each, \threes times three at a time.
    .macro winograd4_points steps, threes
7:
    .rept \threes
    dual_step 1
    .rept \steps-1
    dual_step 0
    .endr
    winograd4_keep
    .rept 2
    .rept \steps
    dual_step 0
    .endr
    winograd4_keep
    .endr
    .endr
    vmov    r6, s5
    cmp     r0, r6
    bne.w   7b
    b.w     resmcu_winograd4_outputs
    .endm

@ The output transform of a row of sums, in place: A^T m, of which row i is 3 * 2^(3,2,1,1) times
@ too large. Results: y0 in \z, y1 in \d, y2 in \s, y3 in \e; \m0, \m3 are free.
    .macro winograd4_output_row m0, d, e, m3, s, z
    rsb     \m0, \d, \m0, lsl #1
    rsb     \m3, \s, \m3, lsl #1
    add     \z, \z, \m0, lsl #2
    add     \s, \s, \m0
    add     \d, \m3, \d, lsl #1
    add     \e, \e, \m3, lsl #1
    .endm

@ One pixel of both tiles: \a and \b become `t`, then int8, at r1 and four pixels on. \c: its
@ constant, unless lr still holds it. \s, \t: free registers for the residuals, of which two
@ together take a cycle less.
    .macro winograd4_store a, b, form, s, t, c
    .ifnb \c
    vmov    lr, \c
    .elseif \form == 2
    vmov    lr, s18
    .endif
    mla     \a, \a, r5, lr
    mla     \b, \b, r5, lr
    .if \form == 1
    ldrsb   \s, [r1]
    .ifb \t
    mla     \a, \s, r0, \a
    ldrsb   \s, [r1, r2]
    mla     \b, \s, r0, \b
    .else
    ldrsb   \t, [r1, r2]
    mla     \a, \s, r0, \a
    mla     \b, \t, r0, \b
    .endif
    .endif
    .if \form == 2
    tflite_scale \a, r6, r0, lr
    tflite_scale \b, r6, r0, lr
    vmov    lr, s13
    asr     \a, \a, lr
    asr     \b, \b, lr
    .else
    smmul   \a, \a, r6
    smmul   \b, \b, r6
    .endif
    ssat    \a, #8, \a
    ssat    \b, #8, \b
    strb    \a, [r1]
    strb    \b, [r1, r2]
    .endm

@ One column of four pixels of both tiles. r5 multiplier that undoes the scale, r6 scale of the
@ output, r2 four pixels in bytes, r0 last word, r1 output, r11 its row once that is free. \c2, \c3:
@ constants of the last two pixels, where they are not those of the others.
    .macro winograd4_column k, shift, form, c2, c3
    add     r0, sp, #WINOGRAD4_ROWS+48*\k
    ldm     r0, {r0, r2-r12}
    resmcu_winograd4_output r9, r7, r0, r5, r3, r11, lr
    resmcu_winograd4_output r10, r8, r2, r6, r4, r12, lr
    vmov    r5, r6, s22, s23
    vmov    r2, s10
    .if \form
    vmov    r0, s24
    .endif
    .if \shift
    lsl     r5, r5, #\shift
    .endif
    winograd4_store r11, r12, \form, s=lr, c=s18
    vmov    r11, s12
    .if \form == 1
    vmov    lr, s18
    .endif
    add     r1, r1, r11
    lsl     r5, r5, #1
    winograd4_store r3, r4, \form, r12
    add     r1, r1, r11
    lsl     r5, r5, #1
    winograd4_store r7, r8, \form, r3, r4, \c2
    add     r1, r1, r11
    winograd4_store r9, r10, \form, r3, r4, \c3
    .if \k-3
    vmov    lr, s11
    add     r1, r1, lr
    .endif
    .endm

    .macro winograd4_columns_out form
    winograd4_column 0, 0, \form
    winograd4_column 1, 1, \form
    winograd4_column 2, 2, \form, s16, s20
    winograd4_column 3, 2, \form, s17, s21
    .endm

@ void products(const context *)
@ context: v, end of the weights, y, loop, bytes of a point, end of v, entry of a chunk, weights,
@          form, -, four pixels in bytes, a pixel less three rows of y, row of y
@ s0 v, s1 end of the weights, s2 y, s3 loop, s4 bytes of a point, s5 end of v, s6 entry of a chunk,
@ s7 end of three points, s10 four pixels, s11 from the last row of a column to the next column, s12
@ a row, s13 end of the point, then the shift of the profile `tflite`, s14 sums of the output, s15
@ form, s16, s17 and s20, s21 constants of rows 2 and 3 in columns 2 and 3, s18 that of all other
@ places, s22-s24 multiplier, scale and last word.
    .section .text.resmcu_winograd4_products, "ax", %progbits
    .balign 4
    @ Loops of 1, 4, 8, 16 and any number of steps, and the last one's chunk, too far away for ADR.
resmcu_winograd4_loops:
    .word   resmcu_winograd4_1, resmcu_winograd4_4, resmcu_winograd4_8, resmcu_winograd4_16
    .word   resmcu_winograd4_any, resmcu_winograd4_chunk
    .global resmcu_winograd4_products
    .type resmcu_winograd4_products, %function
    .thumb_func
resmcu_winograd4_products:
    push    {r4-r11, lr}
    vpush   {s16-s25}
    sub     sp, sp, #WINOGRAD4_FRAME
    vldmia  r0, {s0-s12}
    vmov.f32 s15, s8
    vmov    r1, s7
    @ The loop for the number of steps.
    vmov    r2, s4
    adr.w   r7, resmcu_winograd4_loops
    ldm     r7, {r3-r8}
    cmp     r2, #16
    it      eq
    moveq   r7, r3
    cmp     r2, #64
    it      eq
    moveq   r7, r4
    cmp     r2, #128
    it      eq
    moveq   r7, r5
    cmp     r2, #256
    it      eq
    moveq   r7, r6
    orr     r7, r7, #1
    vmov    s3, r7
    @ The entry into a chunk of 16 steps of 40 bytes each.
    lsr     r2, r2, #4
    subs    r2, r2, #1
    and     r2, r2, #15
    rsb     r2, r2, #15
    mov     r3, #40
    mla     r6, r2, r3, r8
    orr     r6, r6, #1
    vmov    s6, r6
resmcu_winograd4_pair:
    vmov    r0, s0
    vmov    r6, s3
    bx      r6
    .balign 4
resmcu_winograd4_1:
    winograd4_points 1, 12
    .balign 4
resmcu_winograd4_4:
    winograd4_points 4, 4
    .balign 4
resmcu_winograd4_8:
    winograd4_points 8, 2
    .balign 4
resmcu_winograd4_16:
    winograd4_points 16, 1
    .balign 4
resmcu_winograd4_any:
8:  mov     r2, #0
    mov     r3, r2
    mov     r4, r2
    mov     r5, r2
    vmov    r6, s4
    add     r6, r6, r6, lsl #1
    add     r6, r6, r0
    vmov    s7, r6
10: vmov    r6, s4
    add     r6, r6, r0
    vmov    s13, r6
    vmov    r6, s6
    bx      r6
    .balign 4
resmcu_winograd4_chunk:
9:  .rept 16
    dual_step 0
    .endr
    vmov    r6, s13
    cmp     r0, r6
    bne.w   9b
    winograd4_keep
    vmov    r6, s7
    cmp     r0, r6
    bne.w   10b
    vmov    r6, s5
    cmp     r0, r6
    bne.w   8b
resmcu_winograd4_outputs:
    mov     r0, sp
    vmov    s14, r0
    @ Both outputs of the pair, one after another.
3:  add     r1, r1, #40
    vldmia  r1!, {s16-s24}
    str     r1, [sp, #WINOGRAD4_WEIGHTS]
    vmov    r1, s14
    .irp place, 5, 1, 2, 0, 3, 4
    ldm     r1!, {r0, r2-r12}
    winograd4_output_row r11, r9, r7, r5, r3, r0
    winograd4_output_row r12, r10, r8, r6, r4, r2
    str     r0, [sp, #WINOGRAD4_ROWS+8*\place]
    str     r2, [sp, #WINOGRAD4_ROWS+8*\place+4]
    str     r9, [sp, #WINOGRAD4_ROWS+8*\place+48]
    str     r10, [sp, #WINOGRAD4_ROWS+8*\place+52]
    str     r3, [sp, #WINOGRAD4_ROWS+8*\place+96]
    str     r4, [sp, #WINOGRAD4_ROWS+8*\place+100]
    str     r7, [sp, #WINOGRAD4_ROWS+8*\place+144]
    str     r8, [sp, #WINOGRAD4_ROWS+8*\place+148]
    .endr
    vmov    r1, s2
    add     r0, r1, #1
    vmov    s2, r0
    vmov    r0, s15
    cmp     r0, #1
    bhs.w   2f
    winograd4_columns_out 0
1:  ldr     r1, [sp, #WINOGRAD4_WEIGHTS]
    vmov    r0, s14
    cmp     sp, r0
    add     r0, r0, #WINOGRAD4_SUMS
    vmov    s14, r0
    beq.w   3b
    add     sp, sp, #WINOGRAD4_SUMS
    vmov    r6, s1
    cmp     r1, r6
    bne.w   resmcu_winograd4_pair
    add     sp, sp, #WINOGRAD4_FRAME
    vpop    {s16-s25}
    pop     {r4-r11, pc}
2:  bne.w   2f
    winograd4_columns_out 1
    b.w     1b
2:  vmov    r2, s24
    tflite_constants r2, r0
    vmov    s24, r2
    vmov    s13, r0
    winograd4_columns_out 2
    b.w     1b
    .size resmcu_winograd4_products, . - resmcu_winograd4_products

@ One dimension of the weight transform, two channels in two lanes: \a, \b, \c become
@ -a-b-c, a-b+c, 6c, a+2b+4c, a-2b+4c, 6a in \x, \s, \c, \z, \y, \a. \b is lost.
    .macro winograd4_weight a, b, c, s, x, y, z
    sadd16  \s, \a, \c
    sadd16  \x, \s, \s
    ssub16  \s, \s, \b
    ssub16  \x, \s, \x
    sadd16  \b, \b, \b
    sadd16  \y, \c, \c
    sadd16  \z, \y, \y
    sadd16  \c, \y, \z
    sadd16  \y, \z, \a
    sadd16  \z, \y, \b
    ssub16  \y, \y, \b
    sadd16  \b, \a, \a
    sadd16  \a, \a, \b
    sadd16  \a, \a, \a
    .endm

@ void weights(const u32 *packed, u32 *transformed, quads, bytes of a point)
@ r0 packed, r1 transformed of the quad, r2 quads, r3-r9 data, r10 transformed of the row,
@ r11, r12, lr: 1, 3, 5 points; on the stack the vertical pass, [6][3].
    .section .text.resmcu_winograd4_weights, "ax", %progbits
    .balign 4
    .global resmcu_winograd4_weights
    .type resmcu_winograd4_weights, %function
    .thumb_func
resmcu_winograd4_weights:
    push    {r4-r11, lr}
    sub     sp, sp, #76
    mov     r11, r3
    add     r12, r11, r11, lsl #1
    add     lr, r11, r11, lsl #2
1:
    .irp part, 0, 1, 2, 3
    .irp x, 0, 1, 2
    ldr     r3, [r0, #36*(\part/2)+4*\x]
    ldr     r4, [r0, #36*(\part/2)+4*\x+12]
    ldr     r5, [r0, #36*(\part/2)+4*\x+24]
    .if \part & 1
    sxtb16  r3, r3, ror #8
    sxtb16  r4, r4, ror #8
    sxtb16  r5, r5, ror #8
    .else
    sxtb16  r3, r3
    sxtb16  r4, r4
    sxtb16  r5, r5
    .endif
    winograd4_weight r3, r4, r5, r6, r7, r8, r9
    str     r7, [sp, #4*\x]
    str     r6, [sp, #4*\x+12]
    str     r5, [sp, #4*\x+24]
    str     r9, [sp, #4*\x+36]
    str     r8, [sp, #4*\x+48]
    str     r3, [sp, #4*\x+60]
    .endr
    add     r10, r1, #4*\part
    .irp i, 0, 1, 2, 3, 4, 5
    ldrd    r3, r4, [sp, #12*\i]
    ldr     r5, [sp, #12*\i+8]
    winograd4_weight r3, r4, r5, r6, r7, r8, r9
    str     r7, [r10]
    str     r6, [r10, r11]
    str     r5, [r10, r11, lsl #1]
    str     r9, [r10, r12]
    str     r8, [r10, r11, lsl #2]
    str     r3, [r10, lr]
    .if \i-5
    add     r10, r10, r12, lsl #1
    .endif
    .endr
    .endr
    add     r0, r0, #72
    add     r1, r1, #16
    subs    r2, r2, #1
    bne.w   1b
    add     sp, sp, #76
    pop     {r4-r11, pc}
    .size resmcu_winograd4_weights, . - resmcu_winograd4_weights
