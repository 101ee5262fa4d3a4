# Two pixels in one MUL, on RV32IM, from inputs to outputs: what `arch::pixel_pairs` computes with
# the sums of `portable::pixel_pairs`.
#
# A word holds x0 + 2^16 x1 of two pixels, so that one multiplication with a weight makes both
# products. Products of a segment of weights are added up in a word, while the lower sum stays
# inside of its 16 bits: while the absolute values of the segment's weights add up to 255 at most.
# Then the word is added to the sum of all words, and its upper half, rounded, to the sum of the
# second pixel; in the end the second times 2^16 taken from the first leaves the sum of the first
# pixel, modulo 2^32. The header of `packed/pixel_pairs.rs` proves that the rounded half is the
# second pixel's sum.
#
# One pair of outputs after another, of one, two or three words of pixels. A weight of both outputs
# is 5 loads, 6 multiplications and 6 additions for 12 products. Registers of the products:
#   a0       inputs: the words of each weight
#   a1       weights of two outputs
#   a2       where the inputs end
#   a3-a5    a weight's words
#   a6       lengths of segments, a byte for each eight weights
#   a7       2^15, which rounds
#   t0-t5    a segment's sums: words of output 0, words of output 1
#   s0-s5    the sums of all words
#   s6-s11   the sums of the second pixels
#   t6, ra   a weight, a product
# Registers of the requantization, of one output after another:
#   a0       constants
#   a1       the next pair's constants
#   a2       words, less two
#   a3, a4   output, bytes to that of the next pixel
#   a5, a6   smallest and largest result, in the profile `tflite` less the zero point
#   a7       the zero point in the profile `tflite`
#   s0, s6, s1, s7, s2, s8  the sums of all pixels

    .equ RESMCU_PAIRS_X, 52
    .equ RESMCU_PAIRS_X_END, 56
    .equ RESMCU_PAIRS_Y, 60
    .equ RESMCU_PAIRS_Y_END, 64
    .equ RESMCU_PAIRS_NEXT_PIXEL, 68
    .equ RESMCU_PAIRS_LOW, 72
    .equ RESMCU_PAIRS_HIGH, 76
    .equ RESMCU_PAIRS_ZERO, 80
    .equ RESMCU_PAIRS_FORM, 84
    .equ RESMCU_PAIRS_HEADER, 88
    .equ RESMCU_PAIRS_PAIR, 92
    .equ RESMCU_PAIRS_WORDS, 96
    .equ RESMCU_PAIRS_LEFT, 100
    .equ RESMCU_PAIRS_FRAME, 112
# Bytes of the constants of one output.
    .equ RESMCU_PAIRS_RECORD, 12

# Adds the weight at \at(a1) times the words to \a, \b and \c.
    .macro resmcu_pixel_pairs_output at, words, first, a, b, c
    lb      t6, \at(a1)
    .if \first
    mul     \a, t6, a3
    .if \words > 1
    mul     \b, t6, a4
    .endif
    .if \words > 2
    mul     \c, t6, a5
    .endif
    .else
    mul     ra, t6, a3
    add     \a, \a, ra
    .if \words > 1
    mul     ra, t6, a4
    add     \b, \b, ra
    .endif
    .if \words > 2
    mul     ra, t6, a5
    add     \c, \c, ra
    .endif
    .endif
    .endm

# Weight \at of both outputs.
    .macro resmcu_pixel_pairs_weight at, words, first
    lw      a3, 4*\words*(\at)(a0)
    .if \words > 1
    lw      a4, 4*\words*(\at)+4(a0)
    .endif
    .if \words > 2
    lw      a5, 4*\words*(\at)+8(a0)
    .endif
    resmcu_pixel_pairs_output 2*(\at), \words, \first, t0, t1, t2
    resmcu_pixel_pairs_output 2*(\at)+1, \words, \first, t3, t4, t5
    .endm

# The end of a segment, for one word of an output.
    .macro resmcu_pixel_pairs_spill word, all, second
    add     \all, \all, \word
    add     \word, \word, a7
    srai    \word, \word, 16
    add     \second, \second, \word
    .endm

# \count weights from \at on.
    .macro resmcu_pixel_pairs_segment at, count, words
    resmcu_pixel_pairs_weight \at, \words, 1
    .if \count > 1
    resmcu_pixel_pairs_weight \at+1, \words, 0
    .endif
    .if \count > 2
    resmcu_pixel_pairs_weight \at+2, \words, 0
    .endif
    .if \count > 3
    resmcu_pixel_pairs_weight \at+3, \words, 0
    .endif
    .if \count > 4
    resmcu_pixel_pairs_weight \at+4, \words, 0
    resmcu_pixel_pairs_weight \at+5, \words, 0
    resmcu_pixel_pairs_weight \at+6, \words, 0
    resmcu_pixel_pairs_weight \at+7, \words, 0
    .endif
    resmcu_pixel_pairs_spill t0, s0, s6
    resmcu_pixel_pairs_spill t3, s3, s9
    .if \words > 1
    resmcu_pixel_pairs_spill t1, s1, s7
    resmcu_pixel_pairs_spill t4, s4, s10
    .endif
    .if \words > 2
    resmcu_pixel_pairs_spill t2, s2, s8
    resmcu_pixel_pairs_spill t5, s5, s11
    .endif
    .endm

# Behind \count weights: on to \loop with the next ones, if there are any.
    .macro resmcu_pixel_pairs_next count, words, loop
    addi    a0, a0, 4*\words*\count
    addi    a1, a1, 2*\count
    bne     a0, a2, \loop
    .endm

# The same of eight weights, in segments of \count, one after another.
    .macro resmcu_pixel_pairs_short count, words, loop, done
    li      t6, 8/\count
5:  sw      t6, RESMCU_PAIRS_LEFT(sp)
    resmcu_pixel_pairs_segment 0, \count, \words
    lw      t6, RESMCU_PAIRS_LEFT(sp)
    addi    t6, t6, -1
    beqz    t6, 6f
    addi    a0, a0, 4*\words*\count
    addi    a1, a1, 2*\count
    j       5b
6:  resmcu_pixel_pairs_next \count, \words, \loop
    j       \done
    .endm

# All products of a pair, eight weights of both outputs at a time, which have segments of 4, 8, 3,
# or, rarely, of 2 or 1; then on to \done.
    .macro resmcu_pixel_pairs_products words, done
.Lresmcu_pixel_pairs_eight_\words:
    lbu     t6, 0(a6)
    addi    a6, a6, 1
    addi    t6, t6, -4
    bgtz    t6, 2f
    bltz    t6, 3f
    resmcu_pixel_pairs_segment 0, 4, \words
    resmcu_pixel_pairs_segment 4, 4, \words
    resmcu_pixel_pairs_next 8, \words, .Lresmcu_pixel_pairs_eight_\words
    j       \done
2:  resmcu_pixel_pairs_segment 0, 8, \words
    resmcu_pixel_pairs_next 8, \words, .Lresmcu_pixel_pairs_eight_\words
    j       \done
3:  addi    t6, t6, 1
    bnez    t6, 4f
    resmcu_pixel_pairs_segment 0, 3, \words
    resmcu_pixel_pairs_segment 3, 3, \words
    resmcu_pixel_pairs_segment 6, 2, \words
    resmcu_pixel_pairs_next 8, \words, .Lresmcu_pixel_pairs_eight_\words
    j       \done
4:  addi    t6, t6, 1
    bnez    t6, 4f
    resmcu_pixel_pairs_short 2, \words, .Lresmcu_pixel_pairs_eight_\words, \done
4:  resmcu_pixel_pairs_short 1, \words, .Lresmcu_pixel_pairs_eight_\words, \done
    .endm

# The sum of a word's first pixel.
    .macro resmcu_pixel_pairs_first sum, all, second
    slli    t0, \second, 16
    sub     \sum, \all, t0
    .endm

# Clamps the output \v and stores it, in the profile `tflite` with the zero point added.
    .macro resmcu_pixel_pairs_store v, tflite
    bge     \v, a5, 1f
    mv      \v, a5
1:  bge     a6, \v, 1f
    mv      \v, a6
1:  .if \tflite
    add     \v, \v, a7
    .endif
    sb      \v, 0(a3)
    add     a3, a3, a4
    .endm

# The profile `native`, of the sum \v: t0 bias, t1 weight of the residual, t2 multiplier in the
# upper half, t3 and t4 shifts.
    .macro resmcu_pixel_pairs_native v, joins
    sll     \v, \v, t3
    add     \v, \v, t0
    .if \joins
    lb      t5, 0(a3)
    mul     t5, t5, t1
    add     \v, \v, t5
    .endif
    mulh    \v, \v, t2
    sra     \v, \v, t4
    resmcu_pixel_pairs_store \v, 0
    .endm

# The profile `tflite`, of the sum \v: t0 bias, t1 multiplier, t2 shift left, t3 shift right, t4 the
# bits that are shifted out to the right, ra half of them. With p the product, the first rounding is
# floor((p + 2^30) / 2^31), as the header of `packed/constants.rs` has it, and of the upper half h
# and the lower l that is 2 h + ((l >> 30) + 1 >> 1). The second one adds one where what is shifted
# out is more than half, or, below zero, more than half and one.
    .macro resmcu_pixel_pairs_tflite v, unused
    add     \v, \v, t0
    sll     \v, \v, t2
    mul     t5, \v, t1
    mulh    \v, \v, t1
    srli    t5, t5, 30
    addi    t5, t5, 1
    srli    t5, t5, 1
    slli    \v, \v, 1
    add     \v, \v, t5
    and     t5, \v, t4
    srli    t6, \v, 31
    add     t6, t6, ra
    sra     \v, \v, t3
    slt     t5, t6, t5
    add     \v, \v, t5
    resmcu_pixel_pairs_store \v, 1
    .endm

# The sums of all words' pixels, by \convert.
    .macro resmcu_pixel_pairs_convert convert, joins
    \convert s0, \joins
    \convert s6, \joins
    bltz    a2, 8f
    \convert s1, \joins
    \convert s7, \joins
    beqz    a2, 8f
    \convert s2, \joins
    \convert s8, \joins
    .endm

# void resmcu_pixel_pairs(const context *)
# context: that of `arch::pixel_pairs::in_assembly`
    .section .text.resmcu_pixel_pairs, "ax", @progbits
    .balign 4
    .global resmcu_pixel_pairs
    .type resmcu_pixel_pairs, @function
resmcu_pixel_pairs:
    addi    sp, sp, -RESMCU_PAIRS_FRAME
    .irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    sw      s\i, 4*\i(sp)
    .endr
    sw      ra, 48(sp)
    .irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    lw      a1, 4*\i(a0)
    sw      a1, RESMCU_PAIRS_X+4*\i(sp)
    .endr
    lw      a1, RESMCU_PAIRS_PAIR(sp)
# A pair, at a1.
.Lresmcu_pixel_pairs_pair:
    sw      a1, RESMCU_PAIRS_PAIR(sp)
    addi    a6, a1, 2*RESMCU_PAIRS_RECORD
    lw      t0, RESMCU_PAIRS_HEADER(sp)
    lw      a0, RESMCU_PAIRS_X(sp)
    lw      a2, RESMCU_PAIRS_X_END(sp)
    lw      t1, RESMCU_PAIRS_WORDS(sp)
    add     a1, a1, t0
    li      a7, 0x8000
    .irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    li      s\i, 0
    .endr
    bltz    t1, .Lresmcu_pixel_pairs_eight_1
    beqz    t1, .Lresmcu_pixel_pairs_eight_2
    resmcu_pixel_pairs_products 3, .Lresmcu_pixel_pairs_outputs
    resmcu_pixel_pairs_products 2, .Lresmcu_pixel_pairs_outputs
    resmcu_pixel_pairs_products 1, .Lresmcu_pixel_pairs_outputs
.Lresmcu_pixel_pairs_outputs:
    lw      a0, RESMCU_PAIRS_PAIR(sp)
    lw      a2, RESMCU_PAIRS_WORDS(sp)
    lw      a4, RESMCU_PAIRS_NEXT_PIXEL(sp)
    lw      a5, RESMCU_PAIRS_LOW(sp)
    lw      a6, RESMCU_PAIRS_HIGH(sp)
    lw      a7, RESMCU_PAIRS_ZERO(sp)
    resmcu_pixel_pairs_first s0, s0, s6
    resmcu_pixel_pairs_first s1, s1, s7
    resmcu_pixel_pairs_first s2, s2, s8
# One output, of which s0-s2 are the sums of the first pixels and s6-s8 those of the second.
.Lresmcu_pixel_pairs_one:
    lw      t5, RESMCU_PAIRS_FORM(sp)
    lw      a3, RESMCU_PAIRS_Y(sp)
    lw      t0, 0(a0)
    lw      t1, 4(a0)
    addi    t5, t5, -2
    beqz    t5, 3f
    lh      t2, 8(a0)
    lbu     t3, 10(a0)
    lbu     t4, 11(a0)
    slli    t2, t2, 16
    addi    t5, t5, 1
    beqz    t5, 2f
    resmcu_pixel_pairs_convert resmcu_pixel_pairs_native, 0
    j       8f
2:  resmcu_pixel_pairs_convert resmcu_pixel_pairs_native, 1
    j       8f
3:  lw      t2, 8(a0)
    li      t3, 0
    bgez    t2, 4f
    neg     t3, t2
    li      t2, 0
4:  li      t4, 1
    sll     t4, t4, t3
    addi    t4, t4, -1
    srli    ra, t4, 1
    resmcu_pixel_pairs_convert resmcu_pixel_pairs_tflite, 0
8:  lw      t0, RESMCU_PAIRS_Y(sp)
    lw      t1, RESMCU_PAIRS_Y_END(sp)
    lw      t2, RESMCU_PAIRS_PAIR(sp)
    addi    t0, t0, 1
    beq     t0, t1, 9f
    sw      t0, RESMCU_PAIRS_Y(sp)
    bne     a0, t2, .Lresmcu_pixel_pairs_pair
    addi    a0, a0, RESMCU_PAIRS_RECORD
    resmcu_pixel_pairs_first s0, s3, s9
    resmcu_pixel_pairs_first s1, s4, s10
    resmcu_pixel_pairs_first s2, s5, s11
    mv      s6, s9
    mv      s7, s10
    mv      s8, s11
    j       .Lresmcu_pixel_pairs_one
9:
    .irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    lw      s\i, 4*\i(sp)
    .endr
    lw      ra, 48(sp)
    addi    sp, sp, RESMCU_PAIRS_FRAME
    ret
    .size resmcu_pixel_pairs, . - resmcu_pixel_pairs

# One byte of the first pixel of a word becomes that word; one of the second is added to its upper
# half.
    .macro resmcu_widen_store x, free, at, second
    .if \second
    lh      \free, \at+2(a1)
    add     \free, \free, \x
    sh      \free, \at+2(a1)
    .else
    sw      \x, \at(a1)
    .endif
    .endm

# void resmcu_rv32_widen_*(const i8 *row, u32 *slots, usize count)
# Bytes of one pixel, at least one, into every \words-th of the words from `slots` on.
    .macro resmcu_widen name, words, second
    .section .text.resmcu_rv32_widen_\name, "ax", @progbits
    .balign 4
    .global resmcu_rv32_widen_\name
    .type resmcu_rv32_widen_\name, @function
resmcu_rv32_widen_\name:
    andi    a3, a2, 3
    sub     a2, a2, a3
    add     a2, a2, a0
    beq     a0, a2, 2f
1:  lb      a4, 0(a0)
    lb      a5, 1(a0)
    lb      a6, 2(a0)
    lb      a7, 3(a0)
    resmcu_widen_store a4, t0, 0, \second
    resmcu_widen_store a5, t0, 4*\words, \second
    resmcu_widen_store a6, t0, 8*\words, \second
    resmcu_widen_store a7, t0, 12*\words, \second
    addi    a0, a0, 4
    addi    a1, a1, 16*\words
    bne     a0, a2, 1b
    beqz    a3, 3f
2:  lb      a4, 0(a0)
    resmcu_widen_store a4, t0, 0, \second
    addi    a0, a0, 1
    addi    a1, a1, 4*\words
    addi    a3, a3, -1
    bnez    a3, 2b
3:  ret
    .size resmcu_rv32_widen_\name, . - resmcu_rv32_widen_\name
    .endm

    resmcu_widen first_1, 1, 0
    resmcu_widen first_2, 2, 0
    resmcu_widen first_3, 3, 0
    resmcu_widen second_1, 1, 1
    resmcu_widen second_2, 2, 1
    resmcu_widen second_3, 3, 1
