# CATR, DeiT-T/16 at 224 on CUB-200-2011. The authors publish DeiT-S only: its settings.
# The attention adds 3 heads in place of 6: map_scale gives it the size for which the losses were weighted.
_base_ = ['./catr_deit-s_cub.py']
model = dict(
    backbone=dict(arch='deit-tiny'),
    head=dict(in_channels=192, attn_shape=(12, 3), map_scale=6 / 3),
    init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/deit/deit_tiny_patch16_224-a1311bcf.pth'))
