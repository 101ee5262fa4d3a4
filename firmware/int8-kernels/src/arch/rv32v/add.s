# The usual add of the profile `tflite` on RISC-V's vector extension: what `model::add` computes, by
# the roundings as they are defined. With a half rounded up, VSMUL is gemmlowp's doubling
# multiplication, and VSSRA rounds a half away from zero once one is taken from what is negative.
#
# As many elements at a time as eight registers hold in lanes of int32. Inputs plus their offsets
# are at most 255; times 2^20 and 2^19 they are below 2^28, rescaled no more than before, and their
# sum is below 2^29: no lane overflows, nor does VSMUL saturate. VNCLIP by 0 twice has the ends of
# int8.
    .option push
    .option arch, +v

# Shifts v8 right by minus \shift, rounded to nearest, a half away from zero. v16, t0 free.
    .macro rv32v_add_round shift
    vsra.vi v16, v8, 31
    neg     t0, \shift
    vadd.vv v8, v8, v16
    vssra.vx v8, v8, t0
    .endm

# void resmcu_add(const i8 *halved, const i8 *other, i8 *y, count, const constants *)
# constants: offset of the halved input; offset, multiplier, shift of the other one; multiplier,
# shift, offset of the output, in a5, a6, a7, t1, t2, t3, t4.
    .section .text.resmcu_add, "ax", @progbits
    .balign 4
    .global resmcu_add
    .type resmcu_add, @function
resmcu_add:
    lw      a5, 0(a4)
    lw      a6, 4(a4)
    lw      a7, 8(a4)
    lw      t1, 12(a4)
    lw      t2, 16(a4)
    lw      t3, 20(a4)
    lw      t4, 24(a4)
    csrwi   vxrm, 0
1:  vsetvli t5, a3, e32, m8, ta, ma
    vle8.v  v0, (a1)
    vle8.v  v2, (a0)
    vsext.vf4 v8, v0
    vsext.vf4 v16, v2
    add     a1, a1, t5
    add     a0, a0, t5
    vadd.vx v8, v8, a6
    vadd.vx v24, v16, a5
    vsll.vi v8, v8, 20
    vsll.vi v24, v24, 19
    vsmul.vx v8, v8, a7
    rv32v_add_round t1
    vadd.vv v8, v8, v24
    vsmul.vx v8, v8, t2
    rv32v_add_round t3
    vadd.vx v8, v8, t4
    vsetvli zero, t5, e16, m4, ta, ma
    vnclip.wi v16, v8, 0
    vsetvli zero, t5, e8, m2, ta, ma
    vnclip.wi v0, v16, 0
    vse8.v  v0, (a2)
    add     a2, a2, t5
    sub     a3, a3, t5
    bnez    a3, 1b
    ret
    .size resmcu_add, . - resmcu_add
    .option pop
