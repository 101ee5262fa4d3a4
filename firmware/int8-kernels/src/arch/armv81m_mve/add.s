@ The usual add of the profile `tflite` on Helium: what `model::add` computes, by the roundings as
@ they are defined. VQRDMULH is gemmlowp's doubling multiplication; VRSHL rounds a half up, and so
@ away from zero once one is taken from what is negative.
@
@ Four elements at a time in lanes of int32, the tail's predicated off. Inputs plus their offsets
@ are at most 255; times 2^20 and 2^19 they are below 2^28, rescaled no more than before, and their
@ sum is below 2^29: no lane overflows, nor does VQRDMULH saturate.

@ Shifts \q right by minus \shift, rounded to nearest, a half away from zero. q2 free.
    .macro mve_add_round q, shift
    vshr.s32 q2, \q, #31
    vadd.i32 \q, \q, q2
    vrshl.s32 \q, \shift
    .endm

@ void resmcu_add(const i8 *halved, const i8 *other, i8 *y, count, const constants *)
@ constants: offset of the halved input; offset, multiplier, shift of the other one; multiplier,
@ shift, offset of the output, in r4 to r10.
    .section .text.resmcu_add, "ax", %progbits
    .balign 4
    .global resmcu_add
    .type resmcu_add, %function
    .thumb_func
resmcu_add:
    push    {r4-r10, lr}
    ldr     r12, [sp, #32]
    ldm     r12, {r4-r10}
    dlstp.32 lr, r3
1:  vldrb.s32 q0, [r1], #4
    vldrb.s32 q1, [r0], #4
    vadd.i32 q0, q0, r5
    vadd.i32 q1, q1, r4
    vshl.i32 q0, q0, #20
    vshl.i32 q1, q1, #19
    vqrdmulh.s32 q0, q0, r6
    mve_add_round q0, r7
    vadd.i32 q0, q0, q1
    vqrdmulh.s32 q0, q0, r8
    mve_add_round q0, r9
    vadd.i32 q0, q0, r10
    vqmovnb.s32 q0, q0
    vqmovnb.s16 q0, q0
    vstrb.32 q0, [r2], #4
    letp    lr, 1b
    pop     {r4-r10, pc}
    .size resmcu_add, . - resmcu_add
