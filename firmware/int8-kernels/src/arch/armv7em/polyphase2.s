@ Stride 2 by phases, F(2x2, 3x3), on Armv7E-M and Armv8-M with DSP and FPU: the passes of
@ `portable`. As in `winograd4.s`, what is needed once a loop waits in the FPU's registers.
@
@ The input and the weight transform work on two int16 in a word, by SSUB16 and SADD16: differences
@ of differences, and sums of sums, of int8, at most 4 * 2^7. Products are the steps of
@ `dual_step.s`; a pair of outputs has nine sums of 4, 4, 2, 4, 4, 2, 2, 2 and 1 points, of which
@ each is pushed as it ends, so that the last one lies at the stack pointer:
@   sp       BB BC BA CB CC CA AB AC AA, 16 bytes each, [output][tile]
@ An output is A + B or C + B in both dimensions. All is modulo 2^32, and after `a * 2^j + bias`
@ below 2^31 by the profile's bound (the header of `packed/polyphase2.rs`).

@ void rows(const context *)
@ context: five rows, u, bytes of a pixel, end of row 0, 90 * channels - 4
@ r0-r4 rows, r5 u, r6-r10 data, r11 free; s0 end of the pixel, s1 its bytes, s2 end, s3 step back.
    .section .text.resmcu_polyphase2_rows, "ax", %progbits
    .balign 4
    .global resmcu_polyphase2_rows
    .type resmcu_polyphase2_rows, %function
    .thumb_func
resmcu_polyphase2_rows:
    push    {r4-r11, lr}
    add     r1, r0, #24
    vldmia  r1, {s1-s3}
    ldm     r0, {r0-r5}
1:  vmov    r11, s1
    add     r11, r11, r0
    vmov    s0, r11
2:
    .irp half, 0, 1
    .if \half
    ldr     r6, [r0], #4
    ldr     r7, [r1], #4
    ldr     r8, [r2], #4
    ldr     r9, [r3], #4
    ldr     r10, [r4], #4
    sxtb16  r6, r6, ror #8
    sxtb16  r7, r7, ror #8
    sxtb16  r8, r8, ror #8
    sxtb16  r9, r9, ror #8
    sxtb16  r10, r10, ror #8
    .else
    ldr     r6, [r0]
    ldr     r7, [r1]
    ldr     r8, [r2]
    ldr     r9, [r3]
    ldr     r10, [r4]
    sxtb16  r6, r6
    sxtb16  r7, r7
    sxtb16  r8, r8
    sxtb16  r9, r9
    sxtb16  r10, r10
    .endif
    ssub16  r6, r6, r8
    ssub16  r10, r10, r8
    str     r6, [r5, #180*\half]
    str     r7, [r5, #180*\half+36]
    str     r10, [r5, #180*\half+72]
    str     r9, [r5, #180*\half+108]
    str     r8, [r5, #180*\half+144]
    .endr
    add     r5, r5, #360
    cmp     r0, r11
    bne.w   2b
    vmov    r11, s3
    sub     r5, r5, r11
    vmov    r11, s2
    cmp     r0, r11
    bne.w   1b
    pop     {r4-r11, pc}
    .size resmcu_polyphase2_rows, . - resmcu_polyphase2_rows

@ One sum: \bytes of points, entered at \entry. s15 its end.
    .macro polyphase2_sum bytes, entry
    mov     r2, #0
    mov     r3, r2
    mov     r4, r2
    mov     r5, r2
    vmov    r6, r7, \bytes, \entry
    add     r6, r6, r0
    vmov    s15, r6
    adr.w   r6, 9f
    add     r6, r6, r7
    bx      r6
    .balign 4
9:  .rept 16
    dual_step 0
    .endr
    vmov    r6, s15
    cmp     r0, r6
    bne.w   9b
    push    {r2-r5}
    .endm

@ One sum of \steps steps.
    .macro polyphase2_fixed_sum steps
    dual_step 1
    .rept \steps-1
    dual_step 0
    .endr
    push    {r2-r5}
    .endm

@ All sums of points of \steps steps. The first two thirds are alike: 4, 4 and 2 points a sum.
    .macro polyphase2_fixed steps
6:  polyphase2_fixed_sum 4*\steps
    polyphase2_fixed_sum 4*\steps
    polyphase2_fixed_sum 2*\steps
    vmov    r6, s22
    cmp     r0, r6
    bne.w   6b
    polyphase2_fixed_sum 2*\steps
    polyphase2_fixed_sum 2*\steps
    polyphase2_fixed_sum \steps
    .endm

@ The entry into 16 steps of 40 bytes for s9 times 2^\n steps, in r6.
    .macro polyphase2_entry n
    vmov    r6, s9
    lsl     r6, r6, #\n
    subs    r6, r6, #1
    and     r6, r6, #15
    rsb     r6, r6, #15
    mov     r7, #40
    mul     r6, r6, r7
    orr     r6, r6, #1
    .endm

@ Adds the sums at \at to those 32 bytes on, \a and \b, and 16 bytes on, \c and \d. r0, r1 free. Six
@ single loads take seven cycles, three of two registers nine.
    .macro polyphase2_sums at, a, b, c, d
    ldr     r0, [sp, #\at]
    ldr     r1, [sp, #\at+4]
    ldr     \a, [sp, #\at+32]
    ldr     \b, [sp, #\at+36]
    ldr     \c, [sp, #\at+16]
    ldr     \d, [sp, #\at+20]
    add     \a, \a, r0
    add     \b, \b, r1
    add     \c, \c, r0
    add     \d, \d, r1
    .endm

@ Four pixels of a row of outputs, in \a, \b, \c, \d: r0 output, r4 a pixel, r1 the third output
@ (two stores, of which the second has a register as offset, take two cycles), r3 scale, r5 last
@ word, r2 free. s15: the shift of the profile `tflite`.
    .macro polyphase2_store a, b, c, d, form
    .if \form == 1
    ldrsb   r2, [r0]
    mla     \a, r2, r5, \a
    ldrsb   r2, [r0, r4]
    mla     \b, r2, r5, \b
    ldrsb   r2, [r1]
    mla     \c, r2, r5, \c
    ldrsb   r2, [r1, r4]
    mla     \d, r2, r5, \d
    .endif
    .if \form == 2
    tflite_scale \a, r3, r5, r2
    tflite_scale \b, r3, r5, r2
    tflite_scale \c, r3, r5, r2
    tflite_scale \d, r3, r5, r2
    vmov    r2, s15
    asr     \a, \a, r2
    asr     \b, \b, r2
    asr     \c, \c, r2
    asr     \d, \d, r2
    .else
    smmul   \a, \a, r3
    smmul   \b, \b, r3
    smmul   \c, \c, r3
    smmul   \d, \d, r3
    .endif
    ssat    \a, #8, \a
    ssat    \b, #8, \b
    ssat    \c, #8, \c
    ssat    \d, #8, \d
    strb    \a, [r0]
    strb    \b, [r0, r4]
    strb    \c, [r1]
    strb    \d, [r1, r4]
    .endm

    .macro polyphase2_rows_out form
    polyphase2_store r6, r8, r7, r9, \form
    vmov    r2, s8
    add     r0, r0, r2
    add     r1, r1, r2
    polyphase2_store r10, r12, r11, lr, \form
    .endm

@ void products(const context *)
@ context: v, end of the weights, y, weights, bytes of four points, end of v, form, a pixel, row of
@ y, steps of a point
@ s0 v, s1 end of the weights, s2 y, s3 weights, s4 bytes of four points, s5 end of v, s6 form, s7 a
@ pixel, s8 row of y; s10, s11 and s12, s13 bytes and entries of the sums; s14 which output; s16,
@ s17 and s18, s19 those of the first two thirds, s20, s21 those of the last sum; s22 the end of the
@ second third; s24-s27 constants.
    .section .text.resmcu_polyphase2_products, "ax", %progbits
    .balign 4
    .global resmcu_polyphase2_products
    .type resmcu_polyphase2_products, %function
    .thumb_func
resmcu_polyphase2_products:
    push    {r4-r11, lr}
    vpush   {s16-s27}
    vldmia  r0, {s0-s9}
    vmov    r5, s4
    polyphase2_entry 2
    vmov    s16, s17, r5, r6
    lsr     r5, r5, #1
    polyphase2_entry 1
    vmov    s18, s19, r5, r6
    lsr     r5, r5, #1
    polyphase2_entry 0
    vmov    s20, s21, r5, r6
    vmov    r0, s0
    add     r5, r5, r5, lsl #2
    add     r0, r0, r5, lsl #2
    vmov    s22, r0
    vmov    r1, s3
resmcu_polyphase2_pair:
    vmov    r0, s0
    vmov    r6, s9
    cmp     r6, #4
    bne.w   8f
    polyphase2_fixed 4
    b.w     2f
8:  cmp     r6, #8
    bne.w   7f
    polyphase2_fixed 8
    b.w     2f
7:  vmov.f32 s10, s16
    vmov.f32 s11, s17
    vmov.f32 s12, s18
    vmov.f32 s13, s19
1:  polyphase2_sum s10, s11
    polyphase2_sum s10, s11
    polyphase2_sum s12, s13
    vmov    r6, r7, s22, s23
    cmp     r0, r6
    blo.w   1b
    vmov    r7, s5
    cmp     r0, r7
    beq.w   2f
    vmov.f32 s10, s18
    vmov.f32 s11, s19
    vmov.f32 s12, s20
    vmov.f32 s13, s21
    b.w     1b
    @ Both outputs of the pair, one after another: the second lies eight bytes further in each sum.
2:  mov     r0, #0
    vmov    s14, r0
3:  vldmia  r1!, {s24-s27}
    vmov    s3, r1
    polyphase2_sums 0, r2, r3, r4, r5
    polyphase2_sums 96, r6, r7, r8, r9
    add     r6, r6, r2
    add     r7, r7, r3
    add     r8, r8, r4
    add     r9, r9, r5
    polyphase2_sums 48, r10, r11, r12, lr
    add     r10, r10, r2
    add     r11, r11, r3
    add     r12, r12, r4
    add     lr, lr, r5
    vmov    r1, r2, s24, s25
    mla     r6, r6, r2, r1
    mla     r7, r7, r2, r1
    mla     r8, r8, r2, r1
    mla     r9, r9, r2, r1
    mla     r10, r10, r2, r1
    mla     r11, r11, r2, r1
    mla     r12, r12, r2, r1
    mla     lr, lr, r2, r1
    vmov    r3, r5, s26, s27
    vmov    r4, s7
    vmov    r0, s2
    add     r1, r0, #1
    vmov    s2, r1
    add     r1, r0, r4, lsl #1
    vmov    r2, s6
    cmp     r2, #1
    bhs.w   4f
    polyphase2_rows_out 0
5:  vmov    r1, s3
    vmov    r0, s14
    eors    r0, r0, #2
    vmov    s14, r0
    itt     ne
    addne   sp, sp, #8
    bne.w   3b
    add     sp, sp, #136
    vmov    r6, s1
    cmp     r1, r6
    bne.w   resmcu_polyphase2_pair
    vpop    {s16-s27}
    pop     {r4-r11, pc}
4:  bne.w   4f
    polyphase2_rows_out 1
    b.w     5b
4:  tflite_constants r5, r2
    vmov    s15, r2
    polyphase2_rows_out 2
    b.w     5b
    .size resmcu_polyphase2_products, . - resmcu_polyphase2_products

@ Three weights of a row of part \part, from word \word on, in \a, \b, \c.
    .macro polyphase2_weights part, word, a, b, c
    ldr     \a, [r0, #36*(\part/2)+4*\word]
    ldr     \b, [r0, #36*(\part/2)+4*\word+4]
    ldr     \c, [r0, #36*(\part/2)+4*\word+8]
    .if \part & 1
    sxtb16  \a, \a, ror #8
    sxtb16  \b, \b, ror #8
    sxtb16  \c, \c, ror #8
    .else
    sxtb16  \a, \a
    sxtb16  \b, \b
    sxtb16  \c, \c
    .endif
    .endm

@ void weights(const u32 *packed, u32 *transformed, quads, bytes of a point)
@ r0 packed, r1 transformed of the quad, r2 quads, r3-r9 data, r10 transformed of the row,
@ r11, r12, lr: 1, 5, 7 points.
    .section .text.resmcu_polyphase2_weights, "ax", %progbits
    .balign 4
    .global resmcu_polyphase2_weights
    .type resmcu_polyphase2_weights, %function
    .thumb_func
resmcu_polyphase2_weights:
    push    {r4-r11, lr}
    mov     r11, r3
    add     r12, r11, r11, lsl #2
    add     lr, r12, r11, lsl #1
1:
    .irp part, 0, 1, 2, 3
    add     r10, r1, #4*\part
    polyphase2_weights \part, 0, r3, r4, r5
    sadd16  r9, r3, r5
    polyphase2_row r3, r4, r5, r4, r9, 0
    add     r10, r10, r12, lsl #1
    polyphase2_weights \part, 6, r6, r7, r8
    sadd16  r9, r6, r8
    polyphase2_row r6, r7, r8, r7, r9, 0
    add     r10, r10, r12, lsl #1
    sadd16  r3, r3, r6
    sadd16  r4, r4, r7
    sadd16  r5, r5, r8
    sadd16  r8, r3, r5
    polyphase2_middle_row r3, r4, r5, r4, r8
    sub     r10, r10, r11, lsl #3
    polyphase2_weights \part, 3, r3, r4, r5
    sadd16  r9, r3, r5
    polyphase2_row r3, r4, r5, r4, r9, 1
    sub     r10, r10, r12, lsl #1
    polyphase2_row r3, r4, r5, r4, r9, 1
    .endr
    add     r0, r0, #72
    add     r1, r1, #16
    subs    r2, r2, #1
    bne.w   1b
    pop     {r4-r11, pc}
    .size resmcu_polyphase2_weights, . - resmcu_polyphase2_weights
