@ The direct kernel with int8 weights on Armv7E-M and Armv8-M with DSP and FPU, from inputs to
@ outputs: what `arch::pixel_pairs::around_sums` computes with the sums of `portable::pixel_pairs`.
@
@ Two outputs and four pixels at once. A word of inputs holds x[k] and x[k + 1] of one pixel in
@ int16; four of them, of four pixels, stand for each two weights. A word of weights holds two of
@ both outputs, w0[k] w1[k] w0[k + 1] w1[k + 1]: SXTB16 makes the pair of output 0 of it, and,
@ rotated by eight, that of output 1. One SMLAD adds both products of a pair: |x w| <= 2^14, so that
@ their sum is at most 2^15, and it adds modulo 2^32, as the generic kernel does: sums are the same
@ for any weights, and their segments do not matter.
@
@ Two weights of both outputs are 3 loads, 2 SXTB16 and 8 SMLAD for 16 products. In the profile
@ `native` an output is one MLA by 2^j, one SMMUL and one shift. Registers of the products:
@   r0       inputs
@   r1       weights of two outputs
@   r2-r5    sums of output 0, pixels 0 to 3
@   r6-r9    sums of output 1
@   r10, r11 inputs of two pixels
@   r12, lr  weights of output 0 and of output 1
@ Registers of the requantization of one output after another, of which r2-r5 are the sums:
@   r0, r1   output of the first pixel, bytes to that of the next
@   r10-r12  the constants, in the end free
@ What is needed once for a pair or an output waits in registers of the FPU:
@   s0, s1   inputs, their end
@   s2, s3   output of the first pixel, where its outputs end
@   s4       bytes to the output of the next pixel
@   s5, s6   smallest and largest result
@   s7       in the profile `tflite` 2 z + 1, of the zero point z
@   s8       the code of the form
@   s9       bytes of a pair before its weights
@   s10      the pair, then the next one
@   s11      whether results are clamped to less than int8
@   s12      entry into the products
@   s13      constants of the next output
@   s14      where the form's code returns to
    .syntax unified
    .thumb

@ Bytes of the code of the products of two weights, and eights in the body of the loop, a power of
@ two.
    .equ RESMCU_PAIRS_STEP, 52
    .equ RESMCU_PAIRS_EIGHTS, 4

@ Two products with one pixel of both outputs, added to \a and \b.
    .macro resmcu_pixel_pairs_pixel x, a, b, first
    .if \first
    smuad   \a, \x, r12
    smuad   \b, \x, lr
    .else
    smlad   \a, \x, r12, \a
    smlad   \b, \x, lr, \b
    .endif
    .endm

@ Two weights.
    .macro resmcu_pixel_pairs_step first
    ldr     lr, [r1], #4
    ldrd    r10, r11, [r0], #8
    sxtb16  r12, lr
    sxtb16  lr, lr, ror #8
    resmcu_pixel_pairs_pixel r10, r2, r6, \first
    resmcu_pixel_pairs_pixel r11, r3, r7, \first
    ldrd    r10, r11, [r0], #8
    resmcu_pixel_pairs_pixel r10, r4, r8, \first
    resmcu_pixel_pairs_pixel r11, r5, r9, \first
    .endm

@ An instruction for each sum.
    .macro resmcu_pixel_pairs_each instruction:vararg
    .irp sum, r2, r3, r4, r5
    \instruction
    .endr
    .endm

@ void resmcu_pixel_pairs(const context *)
@ context: that of `arch::pixel_pairs::in_assembly`
    .section .text.resmcu_pixel_pairs, "ax", %progbits
    .balign 4
    .global resmcu_pixel_pairs
    .type resmcu_pixel_pairs, %function
    .thumb_func
resmcu_pixel_pairs:
    push    {r4-r11, lr}
    vldmia  r0, {s0-s10}
    vmov    r0, s8
    adr.w   r1, .Lresmcu_pixel_pairs_native
    cbz     r0, 1f
    adr.w   r1, .Lresmcu_pixel_pairs_join
    cmp     r0, #1
    beq     1f
    adr.w   r1, .Lresmcu_pixel_pairs_tflite
1:  orr     r1, r1, #1
    vmov    s8, r1
    @ The ends with the zero point, which they come without.
    vmov    r0, r1, s5, s6
    vmov    r2, s7
    add     r0, r0, r2
    add     r1, r1, r2
    lsl     r2, r2, #1
    add     r2, r2, #1
    vmov    s7, r2
    vmov    s5, s6, r0, r1
    sub     r1, r1, r0
    sub     r1, r1, #255
    vmov    s11, r1
    @ The body of the loop is entered where as many eights remain as it would not have a whole round
    @ for, and behind the first step, which begins the sums. Inputs of eight weights are 64 bytes.
    vmov    r0, r1, s0, s1
    sub     r0, r0, r1
    lsr     r0, r0, #6
    and     r0, r0, #RESMCU_PAIRS_EIGHTS-1
    adr.w   r1, 2f
    mov     r2, #4*RESMCU_PAIRS_STEP
    mla     r1, r0, r2, r1
    add     r1, r1, #RESMCU_PAIRS_STEP+1
    vmov    s12, r1
1:  vmov    r0, s0
    vmov    r1, s10
    vmov    s13, r1
    vmov    r2, s9
    add     r1, r1, r2
    resmcu_pixel_pairs_step 1
    vmov    r10, s12
    bx      r10
    .balign 4
2:  .rept 4*RESMCU_PAIRS_EIGHTS
    resmcu_pixel_pairs_step 0
    .endr
    vmov    r10, s1
    cmp     r0, r10
    bne.w   2b
    vmov    s10, r1
    vmov    r12, s8
    blx     r12
    beq     3f
    mov     r2, r6
    mov     r3, r7
    mov     r4, r8
    mov     r5, r9
    vmov    r12, s8
    blx     r12
    bne.w   1b
3:  pop     {r4-r11, pc}

@ The constants of the next output: r10, r11 and r12.
    .macro resmcu_pixel_pairs_constants
    vmov    r0, s13
    ldm     r0!, {r10-r12}
    vmov    s13, r0
    .endm

@ The profile `native`: bias, weight of the residual, and both shifts above the multiplier.
    .macro resmcu_pixel_pairs_native joins
    resmcu_pixel_pairs_constants
    lsr     r0, r12, #16
    mov     r1, #1
    lsl     r1, r1, r0
    resmcu_pixel_pairs_each mla \sum, \sum, r1, r10
    vmov    r1, s4
    vmov    r0, s2
    .if \joins
    vmov    s14, lr
    ldrsb   r10, [r0]
    ldrsb   lr, [r0, r1]
    mla     r2, r10, r11, r2
    mla     r3, lr, r11, r3
    add     lr, r0, r1
    ldrsb   r10, [r0, r1, lsl #1]
    ldrsb   lr, [lr, r1, lsl #1]
    mla     r4, r10, r11, r4
    mla     r5, lr, r11, r5
    vmov    lr, s14
    .endif
    lsl     r10, r12, #16
    lsr     r12, r12, #24
    resmcu_pixel_pairs_each smmul \sum, \sum, r10
    resmcu_pixel_pairs_each asr \sum, \sum, r12
    resmcu_pixel_pairs_each ssat \sum, #8, \sum
    .endm

.Lresmcu_pixel_pairs_join:
    resmcu_pixel_pairs_native 1
    b       .Lresmcu_pixel_pairs_store
.Lresmcu_pixel_pairs_native:
    resmcu_pixel_pairs_native 0
@ Clamps and stores the outputs of four pixels; equal if this was the last one.
.Lresmcu_pixel_pairs_store:
    vmov    r12, s11
    cmp     r12, #0
    bne     2f
1:  add     r12, r0, r1
    strb    r3, [r0, r1]
    strb    r4, [r0, r1, lsl #1]
    strb    r5, [r12, r1, lsl #1]
    strb    r2, [r0], #1
    vmov    r12, s3
    vmov    s2, r0
    cmp     r0, r12
    bx      lr
2:  vmov    r10, r11, s5, s6
    .irp    sum, r2, r3, r4, r5
    cmp     \sum, r10
    it      lt
    movlt   \sum, r10
    cmp     \sum, r11
    it      gt
    movgt   \sum, r11
    .endr
    b       1b

@ The profile `tflite`: of a sum t = (a + bias) << left, a multiplier m, a shift right e and the
@ zero point z, the roundings are, by the header of `packed/constants.rs`,
@   u = (t m + 2^30) >> 31, then z + (u + 2^(e-1) - [t < 0]) >> e where e >= 1, else z + u
@ of which the sign of u may stand for that of t. QADD does not wrap, and what it cuts off is far
@ above an int8.
@
@ Where e >= 2 all is one floor of p = t m + 2^30 - 2^31 [t < 0], inside of 2^63:
@   ((p >> (30 + e)) + 2 z + 1) >> 1
@ the inner one by p's upper half. r1 2^30, r11 m, r12 e - 2, lr 2 z + 1; r0 and r10 become p.
    .macro resmcu_pixel_pairs_one_floor t
    asr     r0, \t, #31
    orr     r10, r1, r0, lsl #31
    smlal   r10, r0, \t, r11
    asr     \t, r0, r12
    qadd    \t, \t, lr
    ssat    \t, #8, \t, asr #1
    .endm

@ Both where e, in r12, is 0 or 1: |u| <= 2^31 - 1, and at most 2^31 - 2 above zero, so that u + e
@ does not wrap. r1 2^30, r11 m, lr z; r0 becomes u, r10 free.
    .macro resmcu_pixel_pairs_two_floors t
    mov     r10, r1
    mov     r0, #0
    smlal   r10, r0, \t, r11
    lsl     r0, r0, #1
    orr     r0, r0, r10, lsr #31
    and     r10, r12, r0, lsr #31
    add     r0, r0, r12
    sub     r0, r0, r10
    asr     r0, r0, r12
    qadd    \t, r0, lr
    ssat    \t, #8, \t
    .endm

.Lresmcu_pixel_pairs_tflite:
    vmov    s14, lr
    resmcu_pixel_pairs_constants
    resmcu_pixel_pairs_each add \sum, \sum, r10
    mov     r1, #1<<30
    vmov    lr, s7
    rsb     r12, r12, #0
    subs    r12, r12, #2
    blt     1f
    resmcu_pixel_pairs_each resmcu_pixel_pairs_one_floor \sum
    b       2f
    @ A shift by one, by none, or to the left.
1:  asr     lr, lr, #1
    adds    r12, r12, #2
    rsb     r10, r12, #0
    ite     lt
    movlt   r12, #0
    movge   r10, #0
    resmcu_pixel_pairs_each lsl \sum, \sum, r10
    resmcu_pixel_pairs_each resmcu_pixel_pairs_two_floors \sum
2:  vmov    lr, s14
    vmov    r0, s2
    vmov    r1, s4
    b       .Lresmcu_pixel_pairs_store
    .size resmcu_pixel_pairs, . - resmcu_pixel_pairs

@ Four bytes of a row become two words of a pixel, of every four words.
    .macro resmcu_pixel_pairs_widen_four
    ldr     r3, [r0], #4
    sxtb16  r12, r3, ror #8
    sxtb16  r3, r3
    pkhbt   r4, r3, r12, lsl #16
    pkhtb   r12, r12, r3, asr #16
    str     r4, [r1], #16
    str     r12, [r1], #16
    .endm

@ The next byte becomes the lower half of a word or the upper one, which is its last.
    .macro resmcu_pixel_pairs_widen_one is_upper
    ldrsb   r3, [r0], #1
    strh    r3, [r1, #2*\is_upper]
    .if \is_upper
    adds    r1, r1, #16
    .endif
    .endm

@ void resmcu_pixel_pairs_widen(const context *)
@ context: patch, its slots, rows, bytes of a row, from the end of a row to the next one; at least
@ one row and one byte
@ r0 bytes, r1 slots, r2 bytes that are left of the row, r3, r4, r12 free, r5 rows, r6 bytes of a
@ row, r7 to the next one.
    .section .text.resmcu_pixel_pairs_widen, "ax", %progbits
    .balign 4
    .global resmcu_pixel_pairs_widen
    .type resmcu_pixel_pairs_widen, %function
    .thumb_func
resmcu_pixel_pairs_widen:
    push    {r4-r7, lr}
    ldm     r0, {r0, r1, r5, r6, r7}
    @ A row whose first weight is an even one.
1:  mov     r2, r6
2:  subs    r2, r2, #16
    blo     4f
3:  .rept 4
    resmcu_pixel_pairs_widen_four
    .endr
    subs    r2, r2, #16
    bhs     3b
4:  adds    r2, r2, #12
    bmi     6f
5:  resmcu_pixel_pairs_widen_four
    subs    r2, r2, #4
    bpl     5b
    @ Up to three.
6:  adds    r2, r2, #4
    beq     8f
    resmcu_pixel_pairs_widen_one 0
    subs    r2, r2, #1
    beq     7f
    resmcu_pixel_pairs_widen_one 1
    subs    r2, r2, #1
    beq     8f
    resmcu_pixel_pairs_widen_one 0
    @ The next row begins in the same word.
7:  add     r0, r0, r7
    subs    r5, r5, #1
    beq     9f
    resmcu_pixel_pairs_widen_one 1
    subs    r2, r6, #1
    b       2b
8:  add     r0, r0, r7
    subs    r5, r5, #1
    bne     1b
9:  pop     {r4-r7, pc}
    .size resmcu_pixel_pairs_widen, . - resmcu_pixel_pairs_widen
