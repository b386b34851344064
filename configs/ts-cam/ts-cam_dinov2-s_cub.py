# TS-CAM on DINOv2 ViT-S/14 at 224, CUB-200-2011. Ours: the backbone is not in the paper, the recipe is that of DeiT.
_base_ = ['./ts-cam_deit-s_cub.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmwsol.TimmViT',
        model_name='vit_small_patch14_dinov2.lvd142m',
        pretrained=True,  # by timm; a file on disk: pretrained_cfg_overlay=dict(file=PATH)
        img_size=224,
        drop_path_rate=0.1),
    init_cfg=None)
