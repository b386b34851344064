# TS-CAM (Gao et al., ICCV 2021), DeiT-T/16 at 224 on ILSVRC2012.
_base_ = ['./ts-cam_deit-s_ilsvrc.py']
total_batch_size = 128  # the official DeiT-T runs use half the batch of DeiT-S and -B
model = dict(
    backbone=dict(arch='deit-tiny'),
    head=dict(in_channels=192),
    init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/deit/deit_tiny_patch16_224-a1311bcf.pth'))
train_dataloader = dict(batch_size=total_batch_size)
auto_scale_lr = dict(base_batch_size=total_batch_size)
