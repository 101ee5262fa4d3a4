# Sums of products on RV32IM: what `portable::inner::sums` computes.
#
# A block is two tiles (or pixels) and two or eight output channels. With eight, a channel's
# products are ten loads, sixteen multiplies and sixteen additions; the first channel of a sum needs
# no additions. A product of two int16 is at most 2^30; sums are modulo 2^32. Registers:
#   a0       inputs: tile 0 at 0, tile 1 at 8 bytes of a step of 16
#   a1-a4    weights of four pairs of outputs: output 0 at 0, output 1 at 8 bytes of a step
#   a5       where the inputs of this sum end
#   a6       where the sums go
#   a7       a product
#   ra       how many bytes the next sums read
#   t0-t6, s0-s8  sixteen sums, `[pair][output][tile]`
#   s9, s10  a channel of both tiles
#   s11      its weight

# Adds to \a and \b the products of a channel of both tiles with the weight at \at(\w).
    .macro resmcu_products w, at, a, b, first
    lh      s11, \at(\w)
    .if \first
    mul     \a, s9, s11
    mul     \b, s10, s11
    .else
    mul     a7, s9, s11
    add     \a, \a, a7
    mul     a7, s10, s11
    add     \b, \b, a7
    .endif
    .endm

# One channel, at \at bytes of the step.
    .macro resmcu_channel pairs, at, first
    lh      s9, \at(a0)
    lh      s10, \at+8(a0)
    resmcu_products a1, \at, t0, t1, \first
    resmcu_products a1, \at+8, t2, t3, \first
    .if \pairs > 1
    resmcu_products a2, \at, t4, t5, \first
    resmcu_products a2, \at+8, t6, s0, \first
    resmcu_products a3, \at, s1, s2, \first
    resmcu_products a3, \at+8, s3, s4, \first
    resmcu_products a4, \at, s5, s6, \first
    resmcu_products a4, \at+8, s7, s8, \first
    .endif
    .endm

# A step: four channels, at \at bytes.
    .macro resmcu_step pairs, first, at
    resmcu_channel \pairs, \at, \first
    resmcu_channel \pairs, \at+2, 0
    resmcu_channel \pairs, \at+4, 0
    resmcu_channel \pairs, \at+6, 0
    .endm

# Moves on by \bytes.
    .macro resmcu_advance pairs, bytes
    addi    a0, a0, \bytes
    addi    a1, a1, \bytes
    .if \pairs > 1
    addi    a2, a2, \bytes
    addi    a3, a3, \bytes
    addi    a4, a4, \bytes
    .endif
    .endm

# All steps of a sum up to a5, one at a time.
    .macro resmcu_sum_small pairs
    resmcu_step \pairs, 1, 0
    resmcu_advance \pairs, 16
    beq     a0, a5, 3f
2:  resmcu_step \pairs, 0, 0
    resmcu_advance \pairs, 16
    bne     a0, a5, 2b
3:
    .endm

# The same four at a time. After the first one, a number of steps that is a multiple of four goes on
# with the second of the four; others enter where what remains makes it whole.
    .macro resmcu_sum_fast pairs
    resmcu_step \pairs, 1, 0
    sub     a7, a5, a0
    andi    a7, a7, 48
    beqz    a7, 5f
    li      s11, 32
    beq     a7, s11, 2f
    bltu    s11, a7, 3f
    resmcu_advance \pairs, 16
    bne     a0, a5, 4f
    j       8f
2:  resmcu_advance \pairs, -32
    j       7f
3:  resmcu_advance \pairs, -16
    j       6f
4:  resmcu_step \pairs, 0, 0
5:  resmcu_step \pairs, 0, 16
6:  resmcu_step \pairs, 0, 32
7:  resmcu_step \pairs, 0, 48
    resmcu_advance \pairs, 64
    beq     a0, a5, 8f
    j       4b
8:
    .endm

# void resmcu_sums_one, resmcu_sums_all(const context *)
# context: inputs, weights, bytes from pair to pair, bytes of inputs of each sum (at least one,
# each at least a step, a zero after the last), sums
    .macro resmcu_sums name, pairs
    .section .text.resmcu_sums_\name, "ax", @progbits
    .balign 4
    .global resmcu_sums_\name
    .type resmcu_sums_\name, @function
resmcu_sums_\name:
    addi    sp, sp, -64
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
    lw      a1, 4(a0)
    lw      t0, 8(a0)
    lw      ra, 12(a0)
    lw      a6, 16(a0)
    lw      a0, 0(a0)
    .if \pairs > 1
    add     a2, a1, t0
    add     a3, a2, t0
    add     a4, a3, t0
    .endif
    lw      a5, 0(ra)
1:  add     a5, a5, a0
    .if \pairs > 1
    resmcu_sum_fast \pairs
    .else
    resmcu_sum_small \pairs
    .endif
    sw      t0, 0(a6)
    sw      t1, 4(a6)
    sw      t2, 8(a6)
    sw      t3, 12(a6)
    .if \pairs > 1
    sw      t4, 16(a6)
    sw      t5, 20(a6)
    sw      t6, 24(a6)
    sw      s0, 28(a6)
    sw      s1, 32(a6)
    sw      s2, 36(a6)
    sw      s3, 40(a6)
    sw      s4, 44(a6)
    sw      s5, 48(a6)
    sw      s6, 52(a6)
    sw      s7, 56(a6)
    sw      s8, 60(a6)
    .endif
    addi    a6, a6, 64
    addi    ra, ra, 4
    lw      a5, 0(ra)
    beqz    a5, 9f
    j       1b
9:
    lw      ra, 0(sp)
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
    addi    sp, sp, 64
    ret
    .size resmcu_sums_\name, . - resmcu_sums_\name
    .endm

    resmcu_sums all, 4
    resmcu_sums one, 1
