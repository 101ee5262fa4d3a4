# A vector of output channels on RISC-V's vector extension: the pass of `model::lanes8`.
#
# For every byte of a window the weights of up to 32 outputs are loaded and widened to int16, and
# multiplied by the byte of each pixel, a scalar, into int32 sums: VWMACC.VX. With 32 outputs and
# vectors of 128 bits the sums of a pixel take eight registers, three pixels 24 of 32; with 16
# outputs, six pixels do. Longer vectors only use less of each register. 9 (15) instructions make 96
# products.
#
# |x w| <= 2^14; sums are modulo 2^32. VSLL by j, bias and residual end in `t`, below 2^31 by the
# profile's bound (the header of `packed/lanes8.rs`), VMULH is the upper half of its product with
# the scale, and VNCLIP by 0 twice has the ends of int8, whatever the rounding mode. In the profile
# `tflite` no sum behind the product reaches 2^31, as the header of `packed/constants.rs` proves.
# Registers of the products:
#   a0          the context
#   a1 to a6    the rows of the pixels
#   a7          weights
#   t0, t6      eights of a row's bytes, and bytes beyond them, that are left
#   t1, s0      how many those are
#   t2, s2      outputs at once, outputs done
#   s1          rows that are left
#   s3          the constants of the outputs
#   t3 to t5    a byte of three pixels
#   v2, v4      weights, as int16
#   v8, v16, v24  sums of three pixels of 32 outputs; of six of 16 outputs v12, v20, v28 too
    .option push
    .option arch, +v

# Offsets in the context.
    .equ LANES8_PITCHES, 24
    .equ LANES8_Y, 48
    .equ LANES8_PACKED, 72
    .equ LANES8_ROWS, 76
    .equ LANES8_ROW, 80
    .equ LANES8_OUTPUTS, 84
    .equ LANES8_JOIN, 88
    .equ LANES8_ASIDE, 92
    .equ LANES8_TFLITE, 96

# Byte \k of the row of each pixel, and the weights of all outputs for it.
# a1 to a6 rows, a7 weights, t2 outputs; v0 to v7 and t3 to t5 are free.
    .macro lanes8_byte pixels, k
    vle8.v  v2, (a7)
    add     a7, a7, t2
    vsext.vf2 v4, v2
    lb      t3, \k(a1)
    lb      t4, \k(a2)
    lb      t5, \k(a3)
    .if \pixels == 3
    vwmacc.vx v8, t3, v4
    vwmacc.vx v16, t4, v4
    vwmacc.vx v24, t5, v4
    .else
    vwmacc.vx v8, t3, v4
    vwmacc.vx v12, t4, v4
    vwmacc.vx v16, t5, v4
    lb      t3, \k(a4)
    lb      t4, \k(a5)
    lb      t5, \k(a6)
    vwmacc.vx v20, t3, v4
    vwmacc.vx v24, t4, v4
    vwmacc.vx v28, t5, v4
    .endif
    .endm

# Moves the pixels' rows on.
    .macro lanes8_forward pixels, bytes
    addi    a1, a1, \bytes
    addi    a2, a2, \bytes
    addi    a3, a3, \bytes
    .if \pixels == 6
    addi    a4, a4, \bytes
    addi    a5, a5, \bytes
    addi    a6, a6, \bytes
    .endif
    .endm

# \instruction with the sums of each pixel: \instruction sums, sums, v0.
    .macro lanes8_each pixels, instruction
    .if \pixels == 3
    .irp sums, v8, v16, v24
    \instruction \sums, \sums, v0
    .endr
    .else
    .irp sums, v8, v12, v16, v20, v24, v28
    \instruction \sums, \sums, v0
    .endr
    .endif
    .endm

# Takes 32 from the sums that are negative: t3 is -32. v0 free.
    .macro lanes8_below_zero sums
    vmslt.vx v0, \sums, zero
    vadd.vx \sums, \sums, t3, v0.t
    .endm

# Adds to the sums of pixel \index what was laid aside for it.
    .macro lanes8_add_aside index, sums
    vle32.v v0, (t3)
    addi    t3, t3, 128
    vadd.vv \sums, \sums, v0
    .endm

# Lays aside the bias of pixel \index with its residual: v0 biases, v8 weights of the residual.
    .macro lanes8_lay_aside index
    lw      t4, LANES8_Y + 4 * \index(a0)
    add     t4, t4, s2
    vle8.v  v24, (t4)
    vsext.vf4 v16, v24
    vmul.vv v16, v16, v8
    vadd.vv v16, v16, v0
    vse32.v v16, (t3)
    addi    t3, t3, 128
    .endm

# Stores the outputs of pixel \index.
    .macro lanes8_store index, bytes
    lw      t4, LANES8_Y + 4 * \index(a0)
    add     t4, t4, s2
    vse8.v  \bytes, (t4)
    .endm

# To the next row: a pitch less the row's bytes.
    .macro lanes8_next_row index, row
    lw      t3, LANES8_PITCHES + 4 * \index(a0)
    add     \row, \row, t3
    .endm

# void name(const context *)
# context, in words: 6 windows, 6 times from a row's end to the next row, 6 outputs, packed weights,
# rows, bytes of a row, outputs, join, memory for \pixels times 32 words, whether the profile is
# `tflite`.
# \lanes outputs at once; \wide, \half and \byte are the groups of registers of that many int32,
# int16 and int8.
    .macro lanes8_run name, pixels, lanes, wide, half, byte
    .section .text.\name, "ax", @progbits
    .balign 4
    .global \name
    .type \name, @function
\name:
    addi    sp, sp, -16
    sw      s0, 0(sp)
    sw      s1, 4(sp)
    sw      s2, 8(sp)
    sw      s3, 12(sp)
    lw      a7, LANES8_PACKED(a0)
    lw      t1, LANES8_ROW(a0)
    andi    s0, t1, 7
    srli    t1, t1, 3
    li      s2, 0

    # As many outputs as there are, at most \lanes.
1:  lw      t2, LANES8_OUTPUTS(a0)
    sub     t2, t2, s2
    li      t3, \lanes
    bleu    t2, t3, 2f
    mv      t2, t3
2:  vsetvli zero, t2, e32, \wide, ta, ma
    mv      s3, a7
    slli    t4, t2, 4
    add     a7, a7, t4
    lw      t3, LANES8_JOIN(a0)
    beqz    t3, 3f
    vle32.v v0, (s3)
    slli    t4, t2, 2
    add     t4, s3, t4
    vle32.v v8, (t4)
    lw      t3, LANES8_ASIDE(a0)
    lanes8_lay_aside 0
    lanes8_lay_aside 1
    lanes8_lay_aside 2
    .if \pixels == 6
    lanes8_lay_aside 3
    lanes8_lay_aside 4
    lanes8_lay_aside 5
    .endif
3:  vmv.v.i v8, 0
    .if \pixels == 6
    vmv.v.i v12, 0
    vmv.v.i v20, 0
    vmv.v.i v28, 0
    .endif
    vmv.v.i v16, 0
    vmv.v.i v24, 0
    vsetvli zero, t2, e16, \half, ta, ma
    lw      a1, 0(a0)
    lw      a2, 4(a0)
    lw      a3, 8(a0)
    .if \pixels == 6
    lw      a4, 12(a0)
    lw      a5, 16(a0)
    lw      a6, 20(a0)
    .endif
    lw      s1, LANES8_ROWS(a0)

    # A row: eights of bytes, then the others.
4:  mv      t0, t1
    mv      t6, s0
    beqz    t0, 6f
5:  lanes8_byte \pixels, 0
    lanes8_byte \pixels, 1
    lanes8_byte \pixels, 2
    lanes8_byte \pixels, 3
    lanes8_byte \pixels, 4
    lanes8_byte \pixels, 5
    lanes8_byte \pixels, 6
    lanes8_byte \pixels, 7
    lanes8_forward \pixels, 8
    addi    t0, t0, -1
    bnez    t0, 5b
6:  beqz    t6, 8f
7:  lanes8_byte \pixels, 0
    lanes8_forward \pixels, 1
    addi    t6, t6, -1
    bnez    t6, 7b
8:  addi    s1, s1, -1
    beqz    s1, 9f
    lanes8_next_row 0, a1
    lanes8_next_row 1, a2
    lanes8_next_row 2, a3
    .if \pixels == 6
    lanes8_next_row 3, a4
    lanes8_next_row 4, a5
    lanes8_next_row 5, a6
    .endif
    j       4b

    # Shift, bias, residual, scale.
9:  vsetvli zero, t2, e32, \wide, ta, ma
    slli    t4, t2, 3
    add     t4, s3, t4
    vle32.v v0, (t4)
    lanes8_each \pixels, vsll.vv
    lw      t3, LANES8_JOIN(a0)
    beqz    t3, 10f
    lw      t3, LANES8_ASIDE(a0)
    .if \pixels == 3
    lanes8_add_aside 0, v8
    lanes8_add_aside 1, v16
    lanes8_add_aside 2, v24
    .else
    lanes8_add_aside 0, v8
    lanes8_add_aside 1, v12
    lanes8_add_aside 2, v16
    lanes8_add_aside 3, v20
    lanes8_add_aside 4, v24
    lanes8_add_aside 5, v28
    .endif
    j       11f
10: vle32.v v0, (s3)
    lanes8_each \pixels, vadd.vv
11: slli    t3, t2, 2
    add     t4, t4, t3
    vle32.v v0, (t4)
    lanes8_each \pixels, vmulh.vv
    lw      t3, LANES8_TFLITE(a0)
    beqz    t3, 12f

    # The profile `tflite`, by the header of `packed/constants.rs`: the last words are shifts by
    # their lowest bits, and by the others what is added.
    vsetvli zero, t2, e32, \wide, ta, mu
    li      t3, -32
    .if \pixels == 3
    .irp sums, v8, v16, v24
    lanes8_below_zero \sums
    .endr
    .else
    .irp sums, v8, v12, v16, v20, v24, v28
    lanes8_below_zero \sums
    .endr
    .endif
    slli    t4, t2, 2
    add     t4, s3, t4
    vle32.v v0, (t4)
    vand.vx v0, v0, t3
    li      t3, 16
    vadd.vx v0, v0, t3
    lanes8_each \pixels, vadd.vv
    vle32.v v0, (t4)
    lanes8_each \pixels, vsra.vv
12:

    # To int16 and int8, saturated.
    vsetvli zero, t2, e16, \half, ta, ma
    .if \pixels == 3
    vnclip.wi v0, v8, 0
    vnclip.wi v4, v16, 0
    vnclip.wi v8, v24, 0
    vsetvli zero, t2, e8, \byte, ta, ma
    vnclip.wi v12, v0, 0
    vnclip.wi v14, v4, 0
    vnclip.wi v16, v8, 0
    lanes8_store 0, v12
    lanes8_store 1, v14
    lanes8_store 2, v16
    .else
    vnclip.wi v0, v8, 0
    vnclip.wi v2, v12, 0
    vnclip.wi v4, v16, 0
    vnclip.wi v6, v20, 0
    vnclip.wi v8, v24, 0
    vnclip.wi v10, v28, 0
    vsetvli zero, t2, e8, \byte, ta, ma
    vnclip.wi v12, v0, 0
    vnclip.wi v13, v2, 0
    vnclip.wi v14, v4, 0
    vnclip.wi v15, v6, 0
    vnclip.wi v16, v8, 0
    vnclip.wi v17, v10, 0
    lanes8_store 0, v12
    lanes8_store 1, v13
    lanes8_store 2, v14
    lanes8_store 3, v15
    lanes8_store 4, v16
    lanes8_store 5, v17
    .endif

    # The next outputs: their constants begin at a whole word.
    addi    a7, a7, 3
    andi    a7, a7, -4
    add     s2, s2, t2
    lw      t3, LANES8_OUTPUTS(a0)
    bltu    s2, t3, 1b
    lw      s0, 0(sp)
    lw      s1, 4(sp)
    lw      s2, 8(sp)
    lw      s3, 12(sp)
    addi    sp, sp, 16
    ret
    .size \name, . - \name
    .endm

    lanes8_run resmcu_lanes8_three_pixels, 3, 32, m8, m4, m2
    lanes8_run resmcu_lanes8_six_pixels, 6, 16, m4, m2, m1
    .option pop
