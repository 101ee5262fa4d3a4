@ Winograd's input transform on Armv7-M: the pass `columns` of `portable::winograd4`.

@ void columns(const u32 *u, u32 *v, quads, bytes of a point)
    .section .text.resmcu_winograd4_columns, "ax", %progbits
    .balign 4
    .global resmcu_winograd4_columns
    .type resmcu_winograd4_columns, %function
    .thumb_func
resmcu_winograd4_columns:
    push    {r4-r11, lr}
    winograd4_columns_any
    pop     {r4-r11, pc}
    .size resmcu_winograd4_columns, . - resmcu_winograd4_columns
