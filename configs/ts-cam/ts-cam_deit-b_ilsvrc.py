# TS-CAM (Gao et al., ICCV 2021), DeiT-B/16 at 224 on ILSVRC2012.
_base_ = ['./ts-cam_deit-s_ilsvrc.py']
model = dict(
    backbone=dict(arch='deit-base'),
    head=dict(in_channels=768),
    init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/deit/deit_base_patch16_224-b5f2ef4d.pth'))
