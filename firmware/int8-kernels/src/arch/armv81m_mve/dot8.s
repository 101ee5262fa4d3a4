@ Dot products of sixteen on Helium: the pass of `model::dot8`.
@
@ A step is 6 loads and 8 VMLADAV: sixteen bytes of two pixels against those of four outputs, 128
@ products in 14 instructions. Sums lie in the eight even general registers, the only ones that
@ VMLADAV adds to; pointers and counters in odd ones; all else in memory. Loads and products take
@ turns, so that a core that overlaps them can. The first step of four outputs begins the sums.
@ Output channels that are no multiple of four end in a predicated store.
@
@ A step adds sixteen products of at most 2^14 to a sum, modulo 2^32. Then the four sums of a pixel
@ are a vector: VSHL by j, bias and residual end in `t`, below 2^31 by the profile's bound (the
@ header of `packed/dot8.rs`), VMULH is the upper half of its product with the scale, and VQMOVN
@ twice has the ends of int8. In the profile `tflite` no sum behind the product reaches 2^31, as the
@ header of `packed/constants.rs` proves.
    .cpu cortex-m55

@ r1, r7 windows of the two pixels, r3 weights; r0 and r2, r4 and r6, r8 and r10, r12 and lr the
@ sums of an output for both pixels. \a: `a` adds to them, nothing begins them. q0 to q5 are free.
    .macro dot8_step a
    vldrb.u8    q0, [r1], #16
    vldrw.u32   q2, [r3], #64
    vmladav\a\().s8 r0, q2, q0
    vldrb.u8    q1, [r7], #16
    vmladav\a\().s8 r2, q2, q1
    vldrw.u32   q3, [r3, #-48]
    vmladav\a\().s8 r4, q3, q0
    vmladav\a\().s8 r6, q3, q1
    vldrw.u32   q4, [r3, #-32]
    vmladav\a\().s8 r8, q4, q0
    vmladav\a\().s8 r10, q4, q1
    vldrw.u32   q5, [r3, #-16]
    vmladav\a\().s8 r12, q5, q0
    vmladav\a\().s8 lr, q5, q1
    .endm

@ \unroll steps, of which the first one begins the sums if \first is 1.
    .macro dot8_chunk unroll, first
    .if \first
    dot8_step
    .else
    dot8_step a
    .endif
    .rept \unroll - 1
    dot8_step a
    .endr
    .endm

@ Scales and rounds the accumulators \t: q4 scales, q5 addends, q6 minus the shifts. q2 free.
    .macro dot8_tflite t
    vshr.s32 q2, \t, #31
    vmulh.s32 \t, \t, q4
    vshl.i32 q2, q2, #5
    vadd.i32 \t, \t, q5
    vadd.i32 \t, \t, q2
    vshl.s32 \t, \t, q6
    .endm

@ void name(const context *)
@ context, copied to the stack, in words: 0 and 1 windows of two pixels, 2 and 3 their outputs, 4
@ outputs to go, 5 chunks of a row, 6 rows, 7 form, 8 weights, 9 pairs to go, 10 bytes from a pair's
@ window to the next one's, 11 outputs of the pair, 12 from the end of a row to the next row, 13
@ outputs.
@ A chunk is \unroll steps; with \single a row is one chunk. r5 chunks, r9 word 12, r11 rows.
    .macro dot8_run name, unroll, single
    .section .text.\name, "ax", %progbits
    .balign 4
    .global \name
    .type \name, %function
    .thumb_func
\name:
    push    {r3-r11, lr}
    vpush   {d8-d15}
    sub     sp, sp, #56
    ldm     r0!, {r1-r7}
    stm     sp, {r1-r7}
    add     lr, sp, #28
    ldm     r0, {r1-r7}
    stm     lr, {r1-r7}
    ldr     r9, [sp, #48]
    ldr     r3, [sp, #32]

    @ Four outputs.
1:  ldrd    r1, r7, [sp]
    ldr     r11, [sp, #24]
    .if \single
    dot8_chunk \unroll, 1
    subs    r11, r11, #1
    beq     5f
3:  add     r1, r1, r9
    add     r7, r7, r9
    dot8_chunk \unroll, 0
    subs    r11, r11, #1
    bne     3b
    .else
    ldr     r5, [sp, #20]
    dot8_chunk \unroll, 1
    subs    r5, r5, #1
    beq     4f
3:  dot8_chunk \unroll, 0
    subs    r5, r5, #1
    bne     3b
4:  subs    r11, r11, #1
    beq     5f
    add     r1, r1, r9
    add     r7, r7, r9
    ldr     r5, [sp, #20]
    b       3b
    .endif

    @ Sums of a pixel as a vector; shifts, biases and scales of the four outputs.
5:  vmov    q0[2], q0[0], r0, r8
    vmov    q0[3], q0[1], r4, r12
    vmov    q1[2], q1[0], r2, r10
    vmov    q1[3], q1[1], r6, lr
    vldrw.u32 q2, [r3], #64
    vldrw.u32 q3, [r3, #-48]
    vldrw.u32 q4, [r3, #-32]
    ldr     r5, [sp, #28]
    ldrd    r0, r2, [sp, #8]
    ldr     r4, [sp, #16]
    vshl.s32 q0, q0, q2
    vshl.s32 q1, q1, q2
    vadd.i32 q0, q0, q3
    vadd.i32 q1, q1, q3
    cbz     r5, 6f
    vldrw.u32 q5, [r3, #-16]
    cmp     r5, #1
    bne.w   2f
    vctp.32 r4
    vpstt
    vldrbt.s32 q6, [r0]
    vldrbt.s32 q7, [r2]
    vmul.i32 q6, q6, q5
    vmul.i32 q7, q7, q5
    vadd.i32 q0, q0, q6
    vadd.i32 q1, q1, q7
6:  vmulh.s32 q0, q0, q4
    vmulh.s32 q1, q1, q4
10: vqmovnb.s32 q0, q0
    vqmovnb.s32 q1, q1
    vqmovnb.s16 q0, q0
    vqmovnb.s16 q1, q1
    subs    r4, r4, #4
    blo     7f
    vstrb.32 q0, [r0], #4
    vstrb.32 q1, [r2], #4
    str     r4, [sp, #16]
    strd    r0, r2, [sp, #8]
    bne.w   1b
    b       8f
7:  adds    r4, r4, #4
    vctp.32 r4
    vpstt
    vstrbt.32 q0, [r0]
    vstrbt.32 q1, [r2]

    @ The next pair.
8:  ldr     r4, [sp, #36]
    subs    r4, r4, #1
    beq     9f
    str     r4, [sp, #36]
    ldrd    r1, r7, [sp]
    ldr     r5, [sp, #40]
    add     r1, r1, r5
    add     r7, r7, r5
    strd    r1, r7, [sp]
    ldr     r0, [sp, #44]
    ldr     r4, [sp, #52]
    add     r0, r0, r4, lsl #1
    add     r2, r0, r4
    str     r0, [sp, #44]
    strd    r0, r2, [sp, #8]
    str     r4, [sp, #16]
    ldr     r3, [sp, #32]
    b       1b
9:  add     sp, sp, #56
    vpop    {d8-d15}
    pop     {r3-r11, pc}

    @ The profile `tflite`, by the header of `packed/constants.rs`: q5 last words.
2:  vmov.i32 q6, #31
    vand    q6, q5, q6
    vsub.i32 q5, q5, q6
    vmov.i32 q7, #16
    vadd.i32 q5, q5, q7
    vneg.s32 q6, q6
    dot8_tflite q0
    dot8_tflite q1
    b.w     10b
    .size \name, . - \name
    .endm

    dot8_run resmcu_dot8_rows_of_1, 1, 1
    dot8_run resmcu_dot8_rows_of_3, 3, 1
    dot8_run resmcu_dot8_by_1, 1, 0
    dot8_run resmcu_dot8_by_2, 2, 0
    dot8_run resmcu_dot8_by_3, 3, 0
    dot8_run resmcu_dot8_by_4, 4, 0
