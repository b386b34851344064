# TS-CAM on DINOv2 ViT-S/14 at 224, CUB-200-2011. Ours: the backbone is not in the paper, the recipe is that of DeiT.
_base_ = [
    '../_base_/datasets/cub_224.py',
    '../_base_/schedules/ts-cam_cub.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(
        type='mmwsol.TimmViT',
        model_name='vit_small_patch14_dinov2.lvd142m',
        pretrained=True,  # by timm; a file on disk: pretrained_cfg_overlay=dict(file=PATH)
        img_size=224,
        drop_path_rate=0.1),
    head=dict(type='mmwsol.ConvCAMHead', num_classes=200, in_channels=384),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam', threshold=0.1))
