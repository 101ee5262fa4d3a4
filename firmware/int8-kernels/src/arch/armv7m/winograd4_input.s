@ Winograd's input transform on Armv7-M and above: one dimension, and the innards of the pass
@ `columns` of `portable::winograd4`, which need no DSP extension.

@ A word is two lanes as one number, 65536 high + low, so that a transform of both is one of the
@ number, modulo 2^32, whatever borrows pass between them. In the end -12750 <= V <= 17340 of either
@ lane, by the header of `packed/winograd4.rs`; the low one has 0x3400 = 13312 more, which is 562 to
@ 30652: no borrow is left, and the halves of the word are the lanes.

@ One dimension of the input transform, in place: \u0..\u5 become B^T u. \t is free.
@ Results, in the order of points: \u1, \u4, \u5, \u3, \u2, \u0.
    .macro winograd4_input u0, u1, u2, u3, u4, u5, t
    sub     \u0, \u0, \u2
    sub     \u5, \u5, \u3
    sub     \t, \u4, \u2
    sub     \u4, \u4, \u2, lsl #2
    add     \u0, \t, \u0, lsl #2
    sub     \u2, \u3, \u1
    sub     \u3, \u3, \u1, lsl #2
    sub     \u5, \u5, \u2, lsl #2
    add     \u1, \u4, \u3
    sub     \u4, \u4, \u3
    add     \u3, \t, \u2, lsl #1
    sub     \u2, \t, \u2, lsl #1
    .endm

@ The next line of a tile: its points, in their order, in r4, r7, r8, r6, r5, r3. 0x3400 in the low
@ lanes of the last two columns comes to 0x3400 in each point's. r9 free.
    .macro winograd4_columns_line
    ldm     r0!, {r3-r8}
    add     r0, r0, #16
    add     r7, r7, #0x3400
    add     r8, r8, #0x3400
    winograd4_input r3, r4, r5, r6, r7, r8, r9
    .endm

@ All of a tile, with any number of quads. r0 u, r1 v of the quad, r2 quads, r3-r8 data, r9 free,
@ r10 v of the row, r11, r12, lr: 1, 3, 5 points, of which r3 holds one before.
    .macro winograd4_columns_any
    mov     r11, r3
    add     r12, r11, r11, lsl #1
    add     lr, r11, r11, lsl #2
1:
    .irp half, 0, 1
    mov     r10, r1
    .rept 6
    winograd4_columns_line
    str     r4, [r10]
    str     r7, [r10, r11]
    str     r8, [r10, r11, lsl #1]
    str     r6, [r10, r12]
    str     r5, [r10, r11, lsl #2]
    str     r3, [r10, lr]
    add     r10, r10, r12, lsl #1
    .endr
    .if \half
    add     r1, r1, #12
    .else
    add     r1, r1, #4
    .endif
    .endr
    subs    r2, r2, #1
    bne.w   1b
    .endm
