# The input transforms on RV32IM: the passes `rows` and `columns` of `portable`.
#
# Winograd's words are two lanes as one number, 65536 high + low, so that a transform of both is one
# of the number, modulo 2^32, whatever borrows pass between them. It begins with x + 128, which is a
# byte with its highest bit flipped, 0 to 255. In the end -12750 <= V <= 17340 of either lane, by
# the header of `packed/winograd4.rs`; the low one has 0x3400 = 13312 more, which is 562 to 30652:
# no borrow is left, and the halves of the word are the lanes.
#
# The passes of the phases work on one channel at a time: differences of int8, and differences of
# those, are at most 2^9, and stored as int16.

# One dimension, in place: \u0..\u5 become B^T u. Results, in the order of points: \u1, \u4, \u5,
# \u3, \t, \u0; \u2 is free.
    .macro resmcu_winograd4_input u0, u1, u2, u3, u4, u5, t
    sub     \u0, \u0, \u2
    sub     \u5, \u5, \u3
    sub     \t, \u4, \u2
    slli    \u2, \u2, 2
    sub     \u4, \u4, \u2
    slli    \u0, \u0, 2
    add     \u0, \u0, \t
    sub     \u2, \u3, \u1
    slli    \u1, \u1, 2
    sub     \u3, \u3, \u1
    slli    \u2, \u2, 1
    add     \u1, \u4, \u3
    sub     \u4, \u4, \u3
    add     \u3, \t, \u2
    sub     \t, \t, \u2
    slli    \u2, \u2, 1
    sub     \u5, \u5, \u2
    .endm

# Transforms six words and stores them 40 bytes apart, from \at(a6) on. t6 is free.
    .macro resmcu_winograd4_column_of_rows at
    resmcu_winograd4_input s0, s1, s2, s3, s4, s5, t6
    sw      s1, \at(a6)
    sw      s4, \at+40(a6)
    sw      s5, \at+80(a6)
    sw      s3, \at+120(a6)
    sw      t6, \at+160(a6)
    sw      s0, \at+200(a6)
    .endm

# void resmcu_winograd4_rows(const context *)
# context: six rows, u, bytes of a pixel, end of row 0, 120 * channels - 4
# a0-a5 rows, a6 u, a7 0x00ff00ff, s6 0x80808080, s7 the end of the pixel, s8 its bytes, s9 the end
# of row 0, s10 back to the next column's u; t0-t5 four channels plus 128, s0-s5 two of them.
    .section .text.resmcu_winograd4_rows, "ax", @progbits
    .balign 4
    .global resmcu_winograd4_rows
    .type resmcu_winograd4_rows, @function
resmcu_winograd4_rows:
    addi    sp, sp, -48
    sw      s0, 0(sp)
    sw      s1, 4(sp)
    sw      s2, 8(sp)
    sw      s3, 12(sp)
    sw      s4, 16(sp)
    sw      s5, 20(sp)
    sw      s6, 24(sp)
    sw      s7, 28(sp)
    sw      s8, 32(sp)
    sw      s9, 36(sp)
    sw      s10, 40(sp)
    lw      a1, 4(a0)
    lw      a2, 8(a0)
    lw      a3, 12(a0)
    lw      a4, 16(a0)
    lw      a5, 20(a0)
    lw      a6, 24(a0)
    lw      s8, 28(a0)
    lw      s9, 32(a0)
    lw      s10, 36(a0)
    lw      a0, 0(a0)
    li      a7, 0x00ff00ff
    li      s6, 0x80808080
1:  add     s7, a0, s8
2:  lw      t0, 0(a0)
    lw      t1, 0(a1)
    lw      t2, 0(a2)
    lw      t3, 0(a3)
    lw      t4, 0(a4)
    lw      t5, 0(a5)
    xor     t0, t0, s6
    xor     t1, t1, s6
    xor     t2, t2, s6
    xor     t3, t3, s6
    xor     t4, t4, s6
    xor     t5, t5, s6
    and     s0, t0, a7
    and     s1, t1, a7
    and     s2, t2, a7
    and     s3, t3, a7
    and     s4, t4, a7
    and     s5, t5, a7
    resmcu_winograd4_column_of_rows 0
    srli    s0, t0, 8
    srli    s1, t1, 8
    srli    s2, t2, 8
    srli    s3, t3, 8
    srli    s4, t4, 8
    srli    s5, t5, 8
    and     s0, s0, a7
    and     s1, s1, a7
    and     s2, s2, a7
    and     s3, s3, a7
    and     s4, s4, a7
    and     s5, s5, a7
    resmcu_winograd4_column_of_rows 240
    addi    a0, a0, 4
    addi    a1, a1, 4
    addi    a2, a2, 4
    addi    a3, a3, 4
    addi    a4, a4, 4
    addi    a5, a5, 4
    addi    a6, a6, 480
    bne     a0, s7, 2b
    sub     a6, a6, s10
    bne     a0, s9, 1b
    lw      s0, 0(sp)
    lw      s1, 4(sp)
    lw      s2, 8(sp)
    lw      s3, 12(sp)
    lw      s4, 16(sp)
    lw      s5, 20(sp)
    lw      s6, 24(sp)
    lw      s7, 28(sp)
    lw      s8, 32(sp)
    lw      s9, 36(sp)
    lw      s10, 40(sp)
    addi    sp, sp, 48
    ret
    .size resmcu_winograd4_rows, . - resmcu_winograd4_rows

# void resmcu_winograd4_columns(const u32 *u, u32 *v, quads, bytes of a point)
# a0 u, a1 v of the quad, a2 quads, a3 bytes of a point, a4 0x3400, which in the low lanes of the
# last two columns comes to 0x3400 in each point's; a5 v of the point, which is the next one with
# each store; a6 where the lines end; t0-t6 data.
    .section .text.resmcu_winograd4_columns, "ax", @progbits
    .balign 4
    .global resmcu_winograd4_columns
    .type resmcu_winograd4_columns, @function
resmcu_winograd4_columns:
    li      a4, 0x3400
1:
    .irp half, 0, 4
    mv      a5, a1
    addi    a6, a0, 240
2:  lw      t0, 0(a0)
    lw      t1, 4(a0)
    lw      t2, 8(a0)
    lw      t3, 12(a0)
    lw      t4, 16(a0)
    lw      t5, 20(a0)
    add     t4, t4, a4
    add     t5, t5, a4
    resmcu_winograd4_input t0, t1, t2, t3, t4, t5, t6
    .irp term, t1, t4, t5, t3, t6, t0
    sw      \term, \half(a5)
    add     a5, a5, a3
    .endr
    addi    a0, a0, 40
    bne     a0, a6, 2b
    .endr
    addi    a1, a1, 16
    addi    a2, a2, -1
    bnez    a2, 1b
    ret
    .size resmcu_winograd4_columns, . - resmcu_winograd4_columns

# One channel of a column: five bytes become the terms x0 - x2, x1, x4 - x2, x3, x2. \from: its byte
# of the pixel, \to: its halfword of u.
    .macro resmcu_polyphase2_rows_channel from, to
    lb      t0, \from(a0)
    lb      t1, \from(a1)
    lb      t2, \from(a2)
    lb      t3, \from(a3)
    lb      t4, \from(a4)
    sub     t0, t0, t2
    sub     t4, t4, t2
    sh      t0, \to(a5)
    sh      t1, \to+36(a5)
    sh      t4, \to+72(a5)
    sh      t3, \to+108(a5)
    sh      t2, \to+144(a5)
    .endm

# void resmcu_polyphase2_rows(const context *)
# context: five rows, u, bytes of a pixel, end of row 0, 90 * channels - 4
# a0-a4 rows, a5 u, a6 bytes of a pixel, a7 the end of row 0, t5 back to the next column's u, t6 the
# end of the pixel, t0-t4 data.
    .section .text.resmcu_polyphase2_rows, "ax", @progbits
    .balign 4
    .global resmcu_polyphase2_rows
    .type resmcu_polyphase2_rows, @function
resmcu_polyphase2_rows:
    lw      a1, 4(a0)
    lw      a2, 8(a0)
    lw      a3, 12(a0)
    lw      a4, 16(a0)
    lw      a5, 20(a0)
    lw      a6, 24(a0)
    lw      a7, 28(a0)
    lw      t5, 32(a0)
    lw      a0, 0(a0)
1:  add     t6, a0, a6
2:  resmcu_polyphase2_rows_channel 0, 0
    resmcu_polyphase2_rows_channel 1, 180
    resmcu_polyphase2_rows_channel 2, 2
    resmcu_polyphase2_rows_channel 3, 182
    addi    a0, a0, 4
    addi    a1, a1, 4
    addi    a2, a2, 4
    addi    a3, a3, 4
    addi    a4, a4, 4
    addi    a5, a5, 360
    bne     a0, t6, 2b
    sub     a5, a5, t5
    bne     a0, a7, 1b
    ret
    .size resmcu_polyphase2_rows, . - resmcu_polyphase2_rows

# One channel of a line: the terms x0 - x2, x1, x4 - x2, x3, x2 go to s0, s1, s2, s3, s4.
    .macro resmcu_polyphase2_columns_channel from, to
    lh      t0, \from(a0)
    lh      t1, \from+4(a0)
    lh      t2, \from+8(a0)
    lh      t3, \from+12(a0)
    lh      t4, \from+16(a0)
    sub     t0, t0, t2
    sub     t4, t4, t2
    sh      t0, \to(s0)
    sh      t1, \to(s1)
    sh      t4, \to(s2)
    sh      t3, \to(s3)
    sh      t2, \to(s4)
    .endm

# A line of both channels. Then the places move on: by \ends the outer terms and the first odd one,
# by \last the other two, by \middle the middle one.
    .macro resmcu_polyphase2_line at, ends, last, middle
    resmcu_polyphase2_columns_channel \at, 0
    resmcu_polyphase2_columns_channel \at+2, 2
    .ifnb \ends
    add     s0, s0, \ends
    add     s1, s1, \ends
    add     s2, s2, \last
    add     s3, s3, \last
    add     s4, s4, \middle
    .endif
    .endm

# void resmcu_polyphase2_columns(const u32 *u, u32 *v, quads, bytes of a point)
# a0 u, a1 v of the half quad, a2 halves, a3, a4, a5, a6, a7, t6: 1, 2, 5, 6, 8, 9 points; s0-s4
# places of a line's terms. Their points: 0, 1, 4, 5, 8 of a line with the first, 2, 3, 6, 7, 9 with
# the odd term; ten more with the last and odd last; with the middle one 20 to 24.
    .section .text.resmcu_polyphase2_columns, "ax", @progbits
    .balign 4
    .global resmcu_polyphase2_columns
    .type resmcu_polyphase2_columns, @function
resmcu_polyphase2_columns:
    addi    sp, sp, -32
    sw      s0, 0(sp)
    sw      s1, 4(sp)
    sw      s2, 8(sp)
    sw      s3, 12(sp)
    sw      s4, 16(sp)
    slli    a2, a2, 1
    slli    a4, a3, 1
    add     a6, a4, a4
    slli    a7, a3, 3
    add     a5, a6, a3
    add     a6, a6, a4
    add     t6, a7, a3
1:  mv      s0, a1
    add     s1, s0, a3
    add     s3, s0, a5
    sub     s2, s3, a3
    add     s4, s0, a7
    resmcu_polyphase2_line 0, a4, a4, a3
    resmcu_polyphase2_line 36, a7, a7, t6
    resmcu_polyphase2_line 72, a4, a4, a3
    resmcu_polyphase2_line 108, a7, a6, a5
    resmcu_polyphase2_line 144
    addi    a0, a0, 180
    addi    a2, a2, -1
    andi    t5, a2, 1
    slli    t5, t5, 3
    addi    a1, a1, 12
    sub     a1, a1, t5
    bnez    a2, 1b
    lw      s0, 0(sp)
    lw      s1, 4(sp)
    lw      s2, 8(sp)
    lw      s3, 12(sp)
    lw      s4, 16(sp)
    addi    sp, sp, 32
    ret
    .size resmcu_polyphase2_columns, . - resmcu_polyphase2_columns
