# From sums to outputs on RV32IM: the output transforms, and the requantization.
#
# Transforms and multipliers are modulo 2^32, and what they end in, `t`, is below 2^31 by the
# headers of `packed/winograd4.rs` and `packed/polyphase2.rs`. MULH is the upper half of `t` times
# the scale, floor; in the profile `tflite` no sum behind it reaches 2^31, as the header of
# `packed/constants.rs` proves.
#
# One tile of one output channel after another; the first tile of a channel, then the second.
# The two kernels have a frame, a loop and the last steps of an output in common:
#   a0 constants of the channel, a1 output, a2 a pixel in bytes, a3 multiplier, a4 scale, a5 last
#   word, a6 free, a7 255; in the profile `tflite` a5 addend, ra shift
# On the stack: the caller's registers, six words of a transform, and what the loop needs.

    .equ RESMCU_ASIDE, 52
    .equ RESMCU_SUMS, 76
    .equ RESMCU_Y, 80
    .equ RESMCU_CONSTANTS, 84
    .equ RESMCU_LEFT, 88
    .equ RESMCU_PIXEL, 92
    .equ RESMCU_NEXT_ROW, 96
    .equ RESMCU_TILE, 100
    .equ RESMCU_SKIP, 104
    .equ RESMCU_FORM, 108
    .equ RESMCU_FRAME, 112

# Begins a function; copies the context to the stack: sums, output, constants, tiles of all
# channels, a pixel in bytes, to the next row, to the next tile, from the constants of one pair's
# end to those of the next, form.
    .macro resmcu_outputs_begin name
    .section .text.\name, "ax", @progbits
    .balign 4
    .global \name
    .type \name, @function
\name:
    addi    sp, sp, -RESMCU_FRAME
    sw      ra, 0(sp)
    sw      s0, 4(sp)
    sw      s1, 8(sp)
    sw      s2, 12(sp)
    sw      s3, 16(sp)
    sw      s4, 20(sp)
    sw      s5, 24(sp)
    sw      s6, 28(sp)
    sw      s7, 32(sp)
    sw      s8, 36(sp)
    sw      s9, 40(sp)
    sw      s10, 44(sp)
    sw      s11, 48(sp)
    lw      t0, 0(a0)
    lw      t1, 4(a0)
    lw      t2, 8(a0)
    lw      t3, 12(a0)
    lw      t4, 16(a0)
    lw      t5, 20(a0)
    lw      t6, 24(a0)
    lw      s0, 28(a0)
    lw      s1, 32(a0)
    sw      t0, RESMCU_SUMS(sp)
    sw      t1, RESMCU_Y(sp)
    sw      t2, RESMCU_CONSTANTS(sp)
    sw      t3, RESMCU_LEFT(sp)
    sw      t4, RESMCU_PIXEL(sp)
    sw      t5, RESMCU_NEXT_ROW(sp)
    sw      t6, RESMCU_TILE(sp)
    sw      s0, RESMCU_SKIP(sp)
    sw      s1, RESMCU_FORM(sp)
    mv      a0, t0
    mv      a1, t1
    .endm

# Goes back to \loop with the next tile, a0 its first sum and a1 its first output, or returns.
# \bytes: of a channel's constants.
    .macro resmcu_outputs_end name, loop, bytes
    lw      a0, RESMCU_SUMS(sp)
    lw      a1, RESMCU_Y(sp)
    lw      a2, RESMCU_TILE(sp)
    lw      a3, RESMCU_LEFT(sp)
    addi    a0, a0, 4
    sw      a0, RESMCU_SUMS(sp)
    addi    a3, a3, -1
    sw      a3, RESMCU_LEFT(sp)
    andi    a4, a3, 1
    beqz    a4, 1f
    add     a1, a1, a2
    sw      a1, RESMCU_Y(sp)
    j       \loop
1:  sub     a1, a1, a2
    addi    a1, a1, 1
    sw      a1, RESMCU_Y(sp)
    beqz    a3, 3f
    lw      a5, RESMCU_CONSTANTS(sp)
    andi    a4, a3, 2
    addi    a5, a5, \bytes
    bnez    a4, 2f
    lw      a2, RESMCU_SKIP(sp)
    add     a5, a5, a2
2:  sw      a5, RESMCU_CONSTANTS(sp)
    j       \loop
3:  lw      ra, 0(sp)
    lw      s0, 4(sp)
    lw      s1, 8(sp)
    lw      s2, 12(sp)
    lw      s3, 16(sp)
    lw      s4, 20(sp)
    lw      s5, 24(sp)
    lw      s6, 28(sp)
    lw      s7, 32(sp)
    lw      s8, 36(sp)
    lw      s9, 40(sp)
    lw      s10, 44(sp)
    lw      s11, 48(sp)
    addi    sp, sp, RESMCU_FRAME
    ret
    .size \name, . - \name
    .endm

# The profile `tflite`, by the header of `packed/constants.rs`. The last word of a channel in \last
# becomes what is added to the upper half of a product; as a shift it is what its lowest five bits
# are, all that a shift looks at.
    .macro resmcu_tflite_constants last, shift
    mv      \shift, \last
    andi    \last, \last, -32
    addi    \last, \last, 16
    .endm

# \value, the upper half of a product, is rounded. Its sign is that of the other factor, where it
# matters. \free is free.
    .macro resmcu_tflite_round value, addend, shift, free
    srai    \free, \value, 31
    slli    \free, \free, 5
    add     \value, \value, \free
    add     \value, \value, \addend
    sra     \value, \value, \shift
    .endm

# The accumulator \t becomes an output; on to the next pixel. Out of range is what has other bits
# above the lowest eight once 128 is added; its sign says which end it becomes.
    .macro resmcu_store t, form
    .if \form == 1
    lb      a6, 0(a1)
    mul     a6, a6, a5
    add     \t, \t, a6
    .endif
    mulh    \t, \t, a4
    .if \form == 2
    resmcu_tflite_round \t, a5, ra, a6
    .endif
    addi    a6, \t, 128
    bgeu    a7, a6, 1f
    srai    \t, \t, 31
    xori    \t, \t, 127
1:  sb      \t, 0(a1)
    add     a1, a1, a2
    .endm

# One dimension of the output transform of the points \m0 to \m5, in place: A^T m, of which row i is
# 3 * 2^(3,2,1,1) times too large. Results: y0 in \m5, y1 in \m4, y2 in \m1, y3 in \m3; \m0, \m2, \t
# are free.
    .macro resmcu_winograd4_output m0, m1, m2, m3, m4, m5, t
    sub     \t, \m0, \m1
    add     \m0, \m0, \m1
    add     \m1, \m3, \m4
    sub     \m3, \m3, \m4
    slli    \m4, \t, 2
    add     \m5, \m5, \m4
    add     \m5, \m5, \m1
    add     \m1, \m1, \t
    slli    \m4, \m0, 1
    add     \m4, \m4, \m3
    slli    \m3, \m3, 1
    add     \m3, \m3, \m2
    add     \m3, \m3, \m0
    .endm

# Column \j, of which rows 0 to 2 become \a, \b and \c, and row 3 is put aside. a0: 1024 bytes
# behind the first sum.
    .macro resmcu_winograd4_column j, a, b, c
    lw      s11, 64*\j-1024(a0)
    lw      \c, 64*(\j+6)-1024(a0)
    lw      a6, 64*(\j+12)-1024(a0)
    lw      ra, 64*(\j+18)-1024(a0)
    lw      \b, 64*(\j+24)-1024(a0)
    lw      \a, 64*(\j+30)-1024(a0)
    resmcu_winograd4_output s11, \c, a6, ra, \b, \a, a7
    sw      ra, RESMCU_ASIDE+4*\j(sp)
    .endm

# One output: \v times the multiplier, and the constant of place \at.
    .macro resmcu_winograd4_place v, at, form
    lw      a6, 4*(\at)(a0)
    mul     \v, \v, a3
    add     \v, \v, a6
    resmcu_store \v, \form
    .endm

# Row \i, whose scale is \shift powers of two away from the first row's.
    .macro resmcu_winograd4_row i, shift, m0, m1, m2, m3, m4, m5, form
    resmcu_winograd4_output \m0, \m1, \m2, \m3, \m4, \m5, s11
    .if \i
    lw      a6, RESMCU_NEXT_ROW(sp)
    lw      a3, 64(a0)
    add     a1, a1, a6
    slli    a3, a3, \shift
    .endif
    resmcu_winograd4_place \m5, 4*\i, \form
    slli    a3, a3, 1
    resmcu_winograd4_place \m4, 4*\i+1, \form
    slli    a3, a3, 1
    resmcu_winograd4_place \m1, 4*\i+2, \form
    resmcu_winograd4_place \m3, 4*\i+3, \form
    .endm

    .macro resmcu_winograd4_rows_out form
    resmcu_winograd4_row 0, 0, t0, t1, t2, t3, t4, t5, \form
    resmcu_winograd4_row 1, 1, s0, s1, s2, s3, s4, s5, \form
    resmcu_winograd4_row 2, 2, t6, s6, s7, s8, s9, s10, \form
    lw      t0, RESMCU_ASIDE(sp)
    lw      t1, RESMCU_ASIDE+4(sp)
    lw      t2, RESMCU_ASIDE+8(sp)
    lw      t3, RESMCU_ASIDE+12(sp)
    lw      t4, RESMCU_ASIDE+16(sp)
    lw      t5, RESMCU_ASIDE+20(sp)
    resmcu_winograd4_row 3, 2, t0, t1, t2, t3, t4, t5, \form
    .endm

# void resmcu_winograd4_outputs(const context *)
    resmcu_outputs_begin resmcu_winograd4_outputs
5:  addi    a0, a0, 1024
    resmcu_winograd4_column 0, t0, s0, t6
    resmcu_winograd4_column 1, t1, s1, s6
    resmcu_winograd4_column 2, t2, s2, s7
    resmcu_winograd4_column 3, t3, s3, s8
    resmcu_winograd4_column 4, t4, s4, s9
    resmcu_winograd4_column 5, t5, s5, s10
    lw      a0, RESMCU_CONSTANTS(sp)
    lw      a2, RESMCU_PIXEL(sp)
    lw      a3, 64(a0)
    lw      a4, 68(a0)
    lw      a5, 72(a0)
    lw      a6, RESMCU_FORM(sp)
    li      a7, 255
    bnez    a6, 6f
    resmcu_winograd4_rows_out 0
    j       7f
6:  addi    a6, a6, -1
    bnez    a6, 6f
    resmcu_winograd4_rows_out 1
    j       7f
6:  resmcu_tflite_constants a5, ra
    resmcu_winograd4_rows_out 2
7:  resmcu_outputs_end resmcu_winograd4_outputs, 5b, 76

# Four outputs of a tile in \a, \b, \c, \d.
    .macro resmcu_polyphase2_places a, b, c, d, form
    resmcu_store \a, \form
    resmcu_store \b, \form
    lw      a6, RESMCU_NEXT_ROW(sp)
    add     a1, a1, a6
    resmcu_store \c, \form
    resmcu_store \d, \form
    .endm

# void resmcu_polyphase2_outputs(const context *)
# The sums are AA AC AB CA CC CB BA BC BB; an output is A + B or C + B in both dimensions.
    resmcu_outputs_begin resmcu_polyphase2_outputs
5:  lw      a6, RESMCU_CONSTANTS(sp)
    lw      a2, RESMCU_PIXEL(sp)
    lw      t0, 0(a0)
    lw      t1, 64(a0)
    lw      t2, 128(a0)
    lw      t3, 192(a0)
    lw      t4, 256(a0)
    lw      t5, 320(a0)
    lw      s0, 384(a0)
    lw      s1, 448(a0)
    lw      s2, 512(a0)
    lw      s3, 0(a6)
    lw      a3, 4(a6)
    lw      a4, 8(a6)
    lw      a5, 12(a6)
    lw      s4, RESMCU_FORM(sp)
    li      a7, 255
    add     s0, s0, s2
    add     s1, s1, s2
    add     t0, t0, t2
    add     t1, t1, t2
    add     t3, t3, t5
    add     t4, t4, t5
    add     t0, t0, s0
    add     t1, t1, s1
    add     t3, t3, s0
    add     t4, t4, s1
    mul     t0, t0, a3
    mul     t1, t1, a3
    mul     t3, t3, a3
    mul     t4, t4, a3
    add     t0, t0, s3
    add     t1, t1, s3
    add     t3, t3, s3
    add     t4, t4, s3
    bnez    s4, 6f
    resmcu_polyphase2_places t0, t1, t3, t4, 0
    j       7f
6:  addi    s4, s4, -1
    bnez    s4, 6f
    resmcu_polyphase2_places t0, t1, t3, t4, 1
    j       7f
6:  resmcu_tflite_constants a5, ra
    resmcu_polyphase2_places t0, t1, t3, t4, 2
7:  resmcu_outputs_end resmcu_polyphase2_outputs, 5b, 16

# One output of the direct kernel, \t, at \at(\y). t6 free.
    .macro resmcu_direct16_store t, at, y
    addi    t6, \t, 128
    bgeu    a7, t6, 1f
    srai    \t, \t, 31
    xori    \t, \t, 127
1:  sb      \t, \at(\y)
    .endm

# Adds the residual at \at(\y), whose weight is \weight, to the accumulator \t. t6 free.
    .macro resmcu_direct16_join t, weight, at, y
    lb      t6, \at(\y)
    mul     t6, t6, \weight
    add     \t, \t, t6
    .endm

# Both pixels of a channel of the profile `tflite`, of which a3 is the pair's end: \a and \b become
# what is to be clamped. t0, t1, t6 free.
    .macro resmcu_direct16_tflite a, b, channel
    lw      t0, 4*\channel-16(a3)
    lw      t6, 4*\channel-8(a3)
    mulh    \a, \a, t0
    mulh    \b, \b, t0
    resmcu_tflite_constants t6, t0
    resmcu_tflite_round \a, t6, t0, t1
    resmcu_tflite_round \b, t6, t0, t1
    .endm

# void resmcu_direct16_outputs(const context *)
# context: sums, both pixels, a pair's words, pairs, bytes of a pair, form
# a0 sums, a1, a2 pixels, a3 the pair, a4 pairs, a5 bytes of a pair, a6 form, a7 255, t0, t1
# constants of both channels, t2-t5 accumulators.
    .section .text.resmcu_direct16_outputs, "ax", @progbits
    .balign 4
    .global resmcu_direct16_outputs
    .type resmcu_direct16_outputs, @function
resmcu_direct16_outputs:
    lw      a1, 4(a0)
    lw      a2, 8(a0)
    lw      a3, 12(a0)
    lw      a4, 16(a0)
    lw      a5, 20(a0)
    lw      a6, 24(a0)
    lw      a0, 0(a0)
    li      a7, 255
2:  lw      t0, 0(a3)
    lw      t1, 8(a3)
    lw      t2, 0(a0)
    lw      t3, 4(a0)
    lw      t4, 8(a0)
    lw      t5, 12(a0)
    add     t2, t2, t0
    add     t3, t3, t0
    add     t4, t4, t1
    add     t5, t5, t1
    add     a3, a3, a5
    beqz    a6, 3f
    addi    t6, a6, -1
    bnez    t6, 5f
    lw      t0, -8(a3)
    lw      t1, -4(a3)
    resmcu_direct16_join t2, t0, 0, a1
    resmcu_direct16_join t3, t0, 0, a2
    resmcu_direct16_join t4, t1, 1, a1
    resmcu_direct16_join t5, t1, 1, a2
3:  lw      t0, -16(a3)
    lw      t1, -12(a3)
    mulh    t2, t2, t0
    mulh    t3, t3, t0
    mulh    t4, t4, t1
    mulh    t5, t5, t1
4:  resmcu_direct16_store t2, 0, a1
    resmcu_direct16_store t3, 0, a2
    resmcu_direct16_store t4, 1, a1
    resmcu_direct16_store t5, 1, a2
    addi    a0, a0, 16
    addi    a1, a1, 2
    addi    a2, a2, 2
    addi    a4, a4, -1
    bnez    a4, 2b
    ret
5:  resmcu_direct16_tflite t2, t3, 0
    resmcu_direct16_tflite t4, t5, 1
    j       4b
    .size resmcu_direct16_outputs, . - resmcu_direct16_outputs
