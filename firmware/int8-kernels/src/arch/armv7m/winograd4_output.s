@ Winograd's output transform on Armv7-M and above: one dimension, which needs no DSP extension. All
@ is modulo 2^32, as the header of `packed/winograd4.rs` has it: nothing is to be proven of ranges.

@ One dimension of the output transform of the points \m0 to \m5, in place: A^T m, of which row i is
@ 3 * 2^(3,2,1,1) times too large. Results: y0 in \m5, y1 in \m4, y2 in \m1, y3 in \m0; \m2, \m3, \t
@ are free.
    .macro resmcu_winograd4_output m0, m1, m2, m3, m4, m5, t
    sub     \t, \m0, \m1
    add     \m0, \m0, \m1
    add     \m1, \m3, \m4
    sub     \m3, \m3, \m4
    add     \m5, \m5, \m1
    add     \m5, \m5, \t, lsl #2
    add     \m1, \t, \m1
    add     \m4, \m3, \m0, lsl #1
    add     \m0, \m0, \m3, lsl #1
    add     \m0, \m0, \m2
    .endm
