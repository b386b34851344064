# TRT (Su et al., BMVC 2022), DeiT-S/16 at 384 on ILSVRC2012. No numbers of this size were published, nor DeiT-S weights
# for 384: it starts from those for 224, position embeddings resized.
_base_ = [
    '../_base_/datasets/ilsvrc_384_timm-aug.py',
    '../_base_/schedules/trt_ilsvrc.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TRTViT', arch='deit-small', img_size=384, drop_path_rate=0.1, tpsm=dict(u=0.95)),
    head=dict(type='mmwsol.TRTHead', num_classes=1000, in_channels=384),
    map_to_box=dict(type='mmwsol.ContourBox', preset='trt', threshold=0.12),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth'))
