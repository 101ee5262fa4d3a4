# The sums of a fully connected layer on RV32IM: what `model::fully_connected` computes.
#
# Four outputs at once, so that an input is loaded once for four products, eight inputs a round.
# |x w| <= 2^15 * 2^7; sums are modulo 2^32. Registers:
#   a0       the context
#   a1       inputs
#   a2-a5    weights of four outputs
#   a6, a7, t0, t1  their sums
#   t2       an input
#   t3, t4   weights, products
#   t5       where the inputs of a loop end
#   t6       inputs beyond a multiple of eight, in bytes

# The input at \at, of \bytes, which \load loads.
    .macro resmcu_fully_connected_input load, bytes, at
    \load   t2, \bytes*(\at)(a1)
    lb      t3, \at(a2)
    lb      t4, \at(a3)
    mul     t3, t3, t2
    mul     t4, t4, t2
    add     a6, a6, t3
    add     a7, a7, t4
    lb      t3, \at(a4)
    lb      t4, \at(a5)
    mul     t3, t3, t2
    mul     t4, t4, t2
    add     t0, t0, t3
    add     t1, t1, t4
    .endm

# On by \count inputs of \bytes.
    .macro resmcu_fully_connected_next bytes, count
    addi    a1, a1, \bytes*\count
    addi    a2, a2, \count
    addi    a3, a3, \count
    addi    a4, a4, \count
    addi    a5, a5, \count
    .endm

# void NAME(const context *)
# context: inputs, how many (at least one), four rows of weights, four sums
    .macro resmcu_fully_connected name, load, bytes
    .section .text.\name, "ax", @progbits
    .balign 4
    .global \name
    .type \name, @function
\name:
    lw      t6, 4(a0)
    lw      a1, 0(a0)
    lw      a2, 8(a0)
    lw      a3, 12(a0)
    lw      a4, 16(a0)
    lw      a5, 20(a0)
    li      a6, 0
    li      a7, 0
    li      t0, 0
    li      t1, 0
    andi    t5, t6, -8
    andi    t6, t6, 7
    .if \bytes == 2
    slli    t5, t5, 1
    slli    t6, t6, 1
    .endif
    add     t5, t5, a1
    beq     a1, t5, 2f
1:  .irp at, 0, 1, 2, 3, 4, 5, 6, 7
    resmcu_fully_connected_input \load, \bytes, \at
    .endr
    resmcu_fully_connected_next \bytes, 8
    bne     a1, t5, 1b
2:  beqz    t6, 4f
    add     t5, a1, t6
3:  resmcu_fully_connected_input \load, \bytes, 0
    resmcu_fully_connected_next \bytes, 1
    bne     a1, t5, 3b
4:  lw      a0, 24(a0)
    sw      a6, 0(a0)
    sw      a7, 4(a0)
    sw      t0, 8(a0)
    sw      t1, 12(a0)
    ret
    .size \name, . - \name
    .endm

    resmcu_fully_connected resmcu_fully_connected_s8, lb, 1
    resmcu_fully_connected resmcu_fully_connected_s16, lh, 2
