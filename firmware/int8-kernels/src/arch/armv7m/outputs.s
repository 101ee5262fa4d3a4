@ From sums to outputs on Armv7-M: the output transforms, and the requantization.
@
@ Both tiles of one output channel after another. Transforms and multipliers are modulo 2^32, and
@ what they end in, `t`, is below 2^31 by the headers of `packed/winograd4.rs` and
@ `packed/polyphase2.rs`. The upper word of SMULL is `t` times the scale, floor; in the profile
@ `tflite` no sum behind it reaches 2^31, as the header of `packed/constants.rs` proves.
@
@ Registers of the places, besides accumulators: r1 output, lr free, and
@   Winograd    r4 multiplier, r6 scale, r10 bytes to the other tile, r12 constants
@   phases      r0 bytes to the next row, r4 scale, r5 last word, r12 bytes to the other tile
@ What is needed once a loop waits on the stack. The two kernels have a frame and a loop in common:
    .equ RESMCU_SUMS, 0
    .equ RESMCU_Y, 4
    .equ RESMCU_CONSTANTS, 8
    .equ RESMCU_LEFT, 12
    .equ RESMCU_PIXEL, 16
    .equ RESMCU_NEXT_ROW, 20
    .equ RESMCU_TILE, 24
    .equ RESMCU_SKIP, 28
    .equ RESMCU_FORM, 32
    .equ RESMCU_MULTIPLIER, 36
    .equ RESMCU_SCALE, 40
    .equ RESMCU_LAST, 44
    .equ RESMCU_PLACE, 48
    .equ RESMCU_SHIFT, 52
    .equ RESMCU_FRAME, 60

@ Begins a function; copies the context to the stack: sums, output, constants, channels, a pixel
@ in bytes, to the next row, to the next tile, from the constants of one pair's end to those of the
@ next, form.
    .macro resmcu_outputs_begin name
    .section .text.\name, "ax", %progbits
    .balign 4
    .global \name
    .type \name, %function
    .thumb_func
\name:
    push    {r4-r11, lr}
    sub     sp, #RESMCU_FRAME
    mov     r12, sp
    ldm     r0, {r1-r9}
    stm     r12, {r1-r9}
    .endm

@ Goes back to \loop with the next channel, or returns. \bytes: of a channel's constants.
    .macro resmcu_outputs_end name, loop, bytes
    ldrd    r0, r1, [sp, #RESMCU_SUMS]
    ldrd    r2, r3, [sp, #RESMCU_CONSTANTS]
    adds    r0, #8
    adds    r1, #1
    strd    r0, r1, [sp, #RESMCU_SUMS]
    adds    r2, #\bytes
    subs    r3, #1
    tst     r3, #1
    itt     eq
    ldreq   r4, [sp, #RESMCU_SKIP]
    addeq   r2, r4
    strd    r2, r3, [sp, #RESMCU_CONSTANTS]
    cmp     r3, #0
    bne.w   \loop
    add     sp, #RESMCU_FRAME
    pop     {r4-r11, pc}
    .size \name, . - \name
    .endm

@ The profile `tflite`, by the header of `packed/constants.rs`. The last word of a channel in \last
@ becomes what is added to the upper half of a product, and its shift goes to \shift.
    .macro resmcu_tflite_constants last, shift
    and     \shift, \last, #31
    sub     \last, \last, \shift
    add     \last, \last, #16
    .endm

@ \value, the upper half of a product, becomes what is to be shifted right. Its sign is that of
@ the other factor, where it matters. lr free.
    .macro resmcu_tflite_add value, addend
    asr     lr, \value, #31
    add     \value, \value, lr, lsl #5
    add     \value, \value, \addend
    .endm

@ The accumulators \a and \b of both tiles become outputs, at r1 and r10 bytes on. r6 scale, lr
@ free; with a residual and in the profile `tflite` r10 comes from the stack, and is free before.
    .macro resmcu_store a, b, form
    .if \form == 1
    ldr     r10, [sp, #RESMCU_LAST]
    ldrsb   lr, [r1]
    mla     \a, lr, r10, \a
    ldr     lr, [sp, #RESMCU_TILE]
    ldrsb   lr, [r1, lr]
    mla     \b, lr, r10, \b
    ldr     r10, [sp, #RESMCU_TILE]
    .endif
    smull   lr, \a, \a, r6
    smull   lr, \b, \b, r6
    .if \form == 2
    ldr     r10, [sp, #RESMCU_LAST]
    resmcu_tflite_add \a, r10
    resmcu_tflite_add \b, r10
    ldr     r10, [sp, #RESMCU_SHIFT]
    asr     \a, \a, r10
    asr     \b, \b, r10
    ldr     r10, [sp, #RESMCU_TILE]
    .endif
    ssat    \a, #8, \a
    ssat    \b, #8, \b
    strb    \b, [r1, r10]
    strb    \a, [r1]
    .endm

@ One place of both tiles: its sums times the multiplier in r4, and its constant at r12.
    .macro resmcu_winograd4_place a, b, form
    ldr     lr, [r12], #4
    mla     \a, \a, r4, lr
    mla     \b, \b, r4, lr
    resmcu_store \a, \b, \form
    .endm

@ Row \i of both tiles, whose scale is \shift powers of two away from the first row's. lr: 512
@ bytes behind the first sum. The next pixel is a quarter of the next tile away.
    .macro resmcu_winograd4_row i, shift, form
    ldr     lr, [sp, #RESMCU_SUMS]
    add     lr, #512
    ldrd    r0, r7, [lr, #192*\i-512]
    ldrd    r2, r8, [lr, #192*\i+32-512]
    ldrd    r4, r10, [lr, #192*\i+96-512]
    ldrd    r5, r11, [lr, #192*\i+128-512]
    ldrd    r3, r9, [lr, #192*\i+160-512]
    .if \i
    str     r12, [sp, #RESMCU_PLACE]
    .endif
    ldrd    r6, r12, [lr, #192*\i+64-512]
    resmcu_winograd4_output r0, r2, r6, r4, r5, r3, lr
    resmcu_winograd4_output r7, r8, r12, r10, r11, r9, lr
    ldrd    r4, r6, [sp, #RESMCU_MULTIPLIER]
    ldr     r10, [sp, #RESMCU_TILE]
    ldr     r12, [sp, #RESMCU_PLACE]
    .if \shift
    lsl     r4, r4, #\shift
    .endif
    resmcu_winograd4_place r3, r9, \form
    add     r1, r1, r10, lsr #2
    lsl     r4, r4, #1
    resmcu_winograd4_place r5, r11, \form
    add     r1, r1, r10, lsr #2
    lsl     r4, r4, #1
    resmcu_winograd4_place r2, r8, \form
    add     r1, r1, r10, lsr #2
    resmcu_winograd4_place r0, r7, \form
    .if \i-3
    ldr     lr, [sp, #RESMCU_NEXT_ROW]
    add     r1, r1, lr
    .endif
    .endm

    .macro resmcu_winograd4_rows_out form
    resmcu_winograd4_row 0, 0, \form
    resmcu_winograd4_row 1, 1, \form
    resmcu_winograd4_row 2, 2, \form
    resmcu_winograd4_row 3, 2, \form
    .endm

@ void resmcu_winograd4_outputs(const context *)
@ Columns in place in the sums, then rows.
    resmcu_outputs_begin resmcu_winograd4_outputs
5:  ldr     r1, [sp, #RESMCU_SUMS]
    add     r1, #512
    .irp j, 0, 1, 2, 3, 4, 5
    ldrd    r0, r7, [r1, #32*\j-512]
    ldrd    r2, r8, [r1, #32*\j+192-512]
    ldrd    r3, r9, [r1, #32*\j+384-512]
    ldrd    r4, r10, [r1, #32*\j+576-512]
    ldrd    r5, r11, [r1, #32*\j+768-512]
    ldrd    r6, r12, [r1, #32*\j+960-512]
    resmcu_winograd4_output r0, r2, r3, r4, r5, r6, lr
    resmcu_winograd4_output r7, r8, r9, r10, r11, r12, lr
    strd    r6, r12, [r1, #32*\j-512]
    strd    r5, r11, [r1, #32*\j+192-512]
    strd    r2, r8, [r1, #32*\j+384-512]
    strd    r0, r7, [r1, #32*\j+576-512]
    .endr
    ldr     r12, [sp, #RESMCU_CONSTANTS]
    str     r12, [sp, #RESMCU_PLACE]
    add     r3, r12, #64
    ldm     r3, {r4-r6}
    add     r3, sp, #RESMCU_MULTIPLIER
    stm     r3, {r4-r6}
    ldr     r1, [sp, #RESMCU_Y]
    ldr     r0, [sp, #RESMCU_FORM]
    cmp     r0, #1
    bhs.w   6f
    resmcu_winograd4_rows_out 0
    b.w     7f
6:  bne.w   6f
    resmcu_winograd4_rows_out 1
    b.w     7f
6:  resmcu_tflite_constants r6, r0
    str     r6, [sp, #RESMCU_LAST]
    str     r0, [sp, #RESMCU_SHIFT]
    resmcu_winograd4_rows_out 2
7:  resmcu_outputs_end resmcu_winograd4_outputs, 5b, 76

@ One place of both tiles, at r1 and r12 bytes on. r4 scale, r5 last word, lr free.
    .macro resmcu_polyphase2_place a, b, form
    .if \form == 1
    ldrsb   lr, [r1]
    mla     \a, lr, r5, \a
    ldrsb   lr, [r1, r12]
    mla     \b, lr, r5, \b
    .endif
    smull   lr, \a, \a, r4
    smull   lr, \b, \b, r4
    .if \form == 2
    resmcu_tflite_add \a, r5
    resmcu_tflite_add \b, r5
    ldr     lr, [sp, #RESMCU_SHIFT]
    asr     \a, \a, lr
    asr     \b, \b, lr
    .endif
    ssat    \a, #8, \a
    ssat    \b, #8, \b
    strb    \b, [r1, r12]
    strb    \a, [r1]
    .endm

@ The four places of both tiles.
    .macro resmcu_polyphase2_places form
    resmcu_polyphase2_place r6, r7, \form
    add     r1, r1, r12, lsr #1
    resmcu_polyphase2_place r8, r9, \form
    add     r1, r1, r0
    resmcu_polyphase2_place r10, r11, \form
    add     r1, r1, r12, lsr #1
    resmcu_polyphase2_place r2, r3, \form
    .endm

@ Adds the sum of both tiles in \s, \t to that in \a, \b.
    .macro resmcu_add_both a, b, s, t
    add     \a, \s
    add     \b, \t
    .endm

@ void resmcu_polyphase2_outputs(const context *)
@ The sums are AA AC AB CA CC CB BA BC BB; an output is A + B or C + B in both dimensions.
    resmcu_outputs_begin resmcu_polyphase2_outputs
5:  ldr     lr, [sp, #RESMCU_SUMS]
    ldrd    r0, r1, [lr, #256]
    ldrd    r2, r3, [lr, #192]
    ldrd    r4, r5, [lr, #224]
    resmcu_add_both r2, r3, r0, r1
    resmcu_add_both r4, r5, r0, r1
    ldrd    r0, r1, [lr, #64]
    ldrd    r6, r7, [lr]
    ldrd    r8, r9, [lr, #32]
    resmcu_add_both r6, r7, r0, r1
    resmcu_add_both r8, r9, r0, r1
    ldrd    r0, r1, [lr, #160]
    ldrd    r10, r11, [lr, #96]
    resmcu_add_both r6, r7, r2, r3
    resmcu_add_both r10, r11, r2, r3
    ldrd    r2, r3, [lr, #128]
    resmcu_add_both r10, r11, r0, r1
    resmcu_add_both r2, r3, r0, r1
    resmcu_add_both r8, r9, r4, r5
    resmcu_add_both r2, r3, r4, r5
    @ Bias, 2^j, scale, last word.
    ldr     lr, [sp, #RESMCU_CONSTANTS]
    ldm     lr, {r0, r1, r4, r5}
    .irp sum, r6, r7, r8, r9, r10, r11, r2, r3
    mla     \sum, \sum, r1, r0
    .endr
    ldr     r0, [sp, #RESMCU_NEXT_ROW]
    ldr     r1, [sp, #RESMCU_Y]
    ldr     r12, [sp, #RESMCU_TILE]
    ldr     lr, [sp, #RESMCU_FORM]
    cmp     lr, #1
    bhs.w   6f
    resmcu_polyphase2_places 0
    b.w     7f
6:  bne.w   6f
    resmcu_polyphase2_places 1
    b.w     7f
6:  resmcu_tflite_constants r5, lr
    str     lr, [sp, #RESMCU_SHIFT]
    resmcu_polyphase2_places 2
7:  resmcu_outputs_end resmcu_polyphase2_outputs, 5b, 16

@ Both pixels of a channel of the profile `tflite`, of which r3 is the pair's end: \a and \b become
@ what is to be clamped. r7, r8, lr free.
    .macro resmcu_direct16_tflite a, b, channel
    ldr     r7, [r3, #4*\channel-16]
    ldr     r8, [r3, #4*\channel-8]
    smull   lr, \a, \a, r7
    smull   lr, \b, \b, r7
    resmcu_tflite_constants r8, r7
    resmcu_tflite_add \a, r8
    resmcu_tflite_add \b, r8
    asr     \a, \a, r7
    asr     \b, \b, r7
    .endm

@ void resmcu_direct16_outputs(const context *)
@ context: sums, both pixels, a pair's words, pairs, bytes of a pair, form
@ r0 sums, r1, r2 pixels, r3 the pair, r4 pairs, r5 bytes of a pair, r6 form, r7, r8 constants of
@ both channels, r9-r12 accumulators, lr free.
    .section .text.resmcu_direct16_outputs, "ax", %progbits
    .balign 4
    .global resmcu_direct16_outputs
    .type resmcu_direct16_outputs, %function
    .thumb_func
resmcu_direct16_outputs:
    push    {r4-r11, lr}
    ldm     r0, {r0-r6}
1:  ldr     r7, [r3]
    ldr     r8, [r3, #8]
    ldm     r0!, {r9-r12}
    add     r9, r7
    add     r10, r7
    add     r11, r8
    add     r12, r8
    add     r3, r5
    cmp     r6, #1
    blo     2f
    bne     4f
    ldrd    r7, r8, [r3, #-8]
    ldrsb   lr, [r1]
    mla     r9, lr, r7, r9
    ldrsb   lr, [r2]
    mla     r10, lr, r7, r10
    ldrsb   lr, [r1, #1]
    mla     r11, lr, r8, r11
    ldrsb   lr, [r2, #1]
    mla     r12, lr, r8, r12
2:  ldrd    r7, r8, [r3, #-16]
    smull   lr, r9, r9, r7
    smull   lr, r10, r10, r7
    smull   lr, r11, r11, r8
    smull   lr, r12, r12, r8
3:  ssat    r9, #8, r9
    ssat    r10, #8, r10
    ssat    r11, #8, r11
    ssat    r12, #8, r12
    strb    r11, [r1, #1]
    strb    r9, [r1], #2
    strb    r12, [r2, #1]
    strb    r10, [r2], #2
    subs    r4, #1
    bne     1b
    pop     {r4-r11, pc}
4:  resmcu_direct16_tflite r9, r10, 0
    resmcu_direct16_tflite r11, r12, 1
    b       3b
    .size resmcu_direct16_outputs, . - resmcu_direct16_outputs
