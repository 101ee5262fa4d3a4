@ The direct kernel on Armv7E-M and Armv8-M with DSP and FPU: the passes of `portable`.
@
@ One pass widens a patch: four bytes become two words, bytes 0 and 2, and 1 and 3. The other makes
@ all outputs of two patches, one pair of channels after another: four sums that begin at the
@ biases, the steps of `dual_step.s`, then scales and ends of int8. Weights are `w << j` with j <=
@ 8, which is an int16, so that a product is at most 2^22 and two of them 2^23; sums are modulo
@ 2^32, and in the end `t`, which the profile's bound keeps below 2^31 (the header of
@ `packed/direct16.rs`). The upper half of `t` times the scale is what SMMUL makes, or SMMLA with
@ the rounding's addend.

@ Widens the four bytes of \word to the next two words of every four at \to. \t is free.
    .macro direct16_widen word, t, to
    sxtb16  \t, \word, ror #8
    sxtb16  \word, \word
    strd    \word, \t, [\to], #16
    .endm

@ void widen_patch(const context *)
@ context: patch, from row to row, rows, patches, whole words of a row, bytes that remain of it,
@ where the steps of what remains begin
@ r0 row, r1 to the next, r2 rows, r3 patches, r4 words, r5 bytes that remain, r6 their steps, r7
@ of four such bytes those so far, r8 how many, r9 place in the row, r10-r12 free.
    .section .text.resmcu_direct16_widen_patch, "ax", %progbits
    .balign 4
    .global resmcu_direct16_widen_patch
    .type resmcu_direct16_widen_patch, %function
    .thumb_func
resmcu_direct16_widen_patch:
    push    {r4-r11, lr}
    ldm     r0, {r0-r6}
    mov     r8, #4
1:  mov     r9, r0
    subs    r12, r4, #4
    blo     3f
2:  .rept 4
    ldr     r10, [r9], #4
    direct16_widen r10, r11, r3
    .endr
    subs    r12, r12, #4
    bhs     2b
3:  adds    r12, r12, #4
    beq     5f
4:  ldr     r10, [r9], #4
    direct16_widen r10, r11, r3
    subs    r12, r12, #1
    bne     4b
5:  movs    r12, r5
    beq     7f
6:  ldrb    r10, [r9], #1
    lsr     r7, r7, #8
    orr     r7, r7, r10, lsl #24
    subs    r8, r8, #1
    bne     8f
    direct16_widen r7, r11, r6
    mov     r8, #4
8:  subs    r12, r12, #1
    bne     6b
7:  add     r0, r0, r1
    subs    r2, r2, #1
    bne     1b
    @ The last ones, filled up with zeros.
    cmp     r8, #4
    beq     9f
    lsl     r8, r8, #3
    lsr     r7, r7, r8
    direct16_widen r7, r11, r6
9:  pop     {r4-r11, pc}
    .size resmcu_direct16_widen_patch, . - resmcu_direct16_widen_patch

@ Two pixels of a channel of the profile `tflite`: \scale, \last its last word. r12, lr free.
    .macro direct16_tflite a, b, scale, last
    tflite_constants \last, lr
    tflite_scale \a, \scale, \last, r12
    tflite_scale \b, \scale, \last, r12
    asr     \a, \a, lr
    asr     \b, \b, lr
    .endm

@ The scales of a pair of channels, r6 and r7, and its last words, r8 and r9, which are of no use in
@ form 0.
    .macro direct16_scales form
    .if \form == 0
    ldrd    r6, r7, [r1], #16
    .else
    ldm     r1!, {r6-r9}
    .endif
    .endm

@ Two channels of two pixels, r2-r5, become outputs at \y0 and \y1, which move on: scales in r6, r7,
@ last words in r8, r9. r12, lr free.
    .macro direct16_store form, y0, y1
    .if \form == 1
    ldrsb   lr, [\y0]
    ldrsb   r12, [\y1]
    mla     r2, lr, r8, r2
    mla     r3, r12, r8, r3
    ldrsb   lr, [\y0, #1]
    ldrsb   r12, [\y1, #1]
    mla     r4, lr, r9, r4
    mla     r5, r12, r9, r5
    .endif
    .if \form == 2
    direct16_tflite r2, r3, r6, r8
    direct16_tflite r4, r5, r7, r9
    .else
    smmul   r2, r2, r6
    smmul   r3, r3, r6
    smmul   r4, r4, r7
    smmul   r5, r5, r7
    .endif
    ssat    r2, #8, r2
    ssat    r3, #8, r3
    ssat    r4, #8, r4
    ssat    r5, #8, r5
    strb    r4, [\y0, #1]
    strb    r2, [\y0], #2
    strb    r5, [\y1, #1]
    strb    r3, [\y1], #2
    .endm

@ The same where outputs wait in s4 and s5.
    .macro direct16_store_waiting form
    vmov    r10, r11, s4, s5
    direct16_store \form, r10, r11
    vmov    s4, s5, r10, r11
    .endm

@ A step whose inputs wait in four registers of the FPU.
    .macro direct16_held_step a, b, c, d
    vmov    r6, r7, \a, \b
    vmov    r8, r9, \c, \d
    ldm     r1!, {r10-r12, lr}
    dual_multiply 0
    .endm

@ All pairs of channels, of 4 steps each, without a residual: the patches wait in s8-s23, from where
@ a word takes one cycle. r0 first output, s5 second one.
    .macro direct16_held form
    vpush   {s16-s23}
    vmov    r0, s0
    vldmia  r0, {s8-s23}
    vmov    r0, s4
1:  ldm     r1!, {r2-r5}
    direct16_held_step s8, s9, s10, s11
    direct16_held_step s12, s13, s14, s15
    direct16_held_step s16, s17, s18, s19
    direct16_held_step s20, s21, s22, s23
    direct16_scales \form
    vmov    r11, s5
    direct16_store \form, r0, r11
    vmov    s5, r11
    vmov    r6, s3
    cmp     r1, r6
    bne.w   1b
    vpop    {s16-s23}
    pop     {r4-r11, pc}
    .endm

@ All pairs of channels, of \steps steps each, without a residual.
    .macro direct16_fixed steps, form
1:  ldm     r1!, {r2-r5}
    vmov    r0, s0
    .rept \steps
    dual_step 0
    .endr
    direct16_scales \form
    direct16_store_waiting \form
    vmov    r6, s3
    cmp     r1, r6
    bne.w   1b
    pop     {r4-r11, pc}
    .endm

@ void products(const context *)
@ context: patches, their end, stream of weights, its end, both outputs, steps, form
@ r0 patches, r1 stream; s0 patches, s1 their end, s3 end of the stream, s4, s5 outputs, s6 entry
@ into a chunk of 16 steps, s7 form. A pair of channels is: four biases, the steps, two scales, two
@ last words. The steps of 1x1 shortcuts of 16 and 32 channels have loops of their own.
    .section .text.resmcu_direct16_products, "ax", %progbits
    .balign 4
    .global resmcu_direct16_products
    .type resmcu_direct16_products, %function
    .thumb_func
resmcu_direct16_products:
    push    {r4-r11, lr}
    vldmia  r0, {s0-s7}
    vmov    r1, s2
    vmov    r2, r3, s6, s7
    cmp     r3, #1
    beq.w   4f
    bhi.w   5f
    cmp     r2, #8
    beq.w   3f
    cmp     r2, #4
    bne.w   4f
    direct16_held 0
3:  direct16_fixed 8, 0
5:  cmp     r2, #8
    beq.w   3f
    cmp     r2, #4
    bne.w   4f
    direct16_held 2
3:  direct16_fixed 8, 2
    @ The entry: a step has 40 bytes.
4:  adr.w   r6, 2f
    subs    r2, r2, #1
    and     r2, r2, #15
    rsb     r2, r2, #15
    mov     r3, #40
    mla     r6, r2, r3, r6
    orr     r6, r6, #1
    vmov    s6, r6
1:  ldm     r1!, {r2-r5}
    vmov    r0, s0
    vmov    r6, s6
    bx      r6
    .balign 4
2:  .rept 16
    dual_step 0
    .endr
    vmov    r6, s1
    cmp     r0, r6
    bne.w   2b
    ldm     r1!, {r6-r9}
    vmov    r0, s7
    cbz     r0, 3f
    cmp     r0, #1
    bne.w   5f
    direct16_store_waiting 1
    b       4f
3:  direct16_store_waiting 0
4:  vmov    r6, s3
    cmp     r1, r6
    bne.w   1b
    pop     {r4-r11, pc}
5:  direct16_store_waiting 2
    b.w     4b
    .size resmcu_direct16_products, . - resmcu_direct16_products
