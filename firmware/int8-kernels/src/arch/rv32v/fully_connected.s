# The sums of a fully connected layer on RISC-V's vector extension: what `model::fully_connected`
# computes.
#
# Two outputs at once, and then two more: their weights are widened to int16 and multiplied with the
# inputs, 32 at a time where vectors have 128 bits; VWMACC adds to a sum of 32 bits for each lane,
# |x w| <= 2^15 * 2^7, modulo 2^32. Lanes behind the last input keep their sums, which are added up
# in the end. Registers:
#   a0          the context
#   a1, a2      inputs, how many are left
#   a3, a4      weights of two outputs
#   a5          pairs of outputs that are left
#   t2, t3      where the next weights stand in the context, where the next sums go
#   v8, v16     their sums (eight registers each)
#   v24         inputs (four)
#   v28, v30    weights (two), v0, v4 as int16 (four)
    .option push
    .option arch, +v

# void NAME(const context *)
# context: inputs, how many (at least one), four rows of weights, four sums
    .macro resmcu_fully_connected name, bytes
    .section .text.\name, "ax", @progbits
    .balign 4
    .global \name
    .type \name, @function
\name:
    addi    t2, a0, 8
    lw      t3, 24(a0)
    li      a5, 2
1:  lw      a1, 0(a0)
    lw      a2, 4(a0)
    lw      a3, 0(t2)
    lw      a4, 4(t2)
    addi    t2, t2, 8
    vsetvli t0, zero, e32, m8, ta, ma
    vmv.v.i v8, 0
    vmv.v.i v16, 0
2:  vsetvli t0, a2, e16, m4, tu, ma
    .if \bytes == 1
    vle8.v  v28, (a1)
    vsext.vf2 v24, v28
    add     a1, a1, t0
    .else
    vle16.v v24, (a1)
    slli    t1, t0, 1
    add     a1, a1, t1
    .endif
    vle8.v  v28, (a3)
    vle8.v  v30, (a4)
    vsext.vf2 v0, v28
    vsext.vf2 v4, v30
    add     a3, a3, t0
    add     a4, a4, t0
    sub     a2, a2, t0
    vwmacc.vv v8, v24, v0
    vwmacc.vv v16, v24, v4
    bnez    a2, 2b
    vsetvli t0, zero, e32, m8, ta, ma
    vmv.s.x v0, zero
    vredsum.vs v8, v8, v0
    vredsum.vs v16, v16, v0
    vmv.x.s t0, v8
    vmv.x.s t1, v16
    sw      t0, 0(t3)
    sw      t1, 4(t3)
    addi    t3, t3, 8
    addi    a5, a5, -1
    bnez    a5, 1b
    ret
    .size \name, . - \name
    .endm

    resmcu_fully_connected resmcu_fully_connected_s8, 1
    resmcu_fully_connected resmcu_fully_connected_s16, 2
    .option pop
