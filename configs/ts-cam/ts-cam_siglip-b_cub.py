# TS-CAM on SigLIP ViT-B/16 at 224, CUB-200-2011. Ours: the backbone is not in the paper, the recipe is that of DeiT.
# SigLIP has no class token: the attention is that of its pooling, which keeps its weights, as no loss reaches it.
_base_ = [
    '../_base_/datasets/cub_224.py',
    '../_base_/schedules/ts-cam_cub.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    data_preprocessor=dict(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)),
    backbone=dict(
        type='mmwsol.TimmViT',
        model_name='vit_base_patch16_siglip_224.webli',
        pretrained=True,  # by timm; a file on disk: pretrained_cfg_overlay=dict(file=PATH)
        query='pool',
        drop_path_rate=0.1),
    frozen=['backbone.model.attn_pool'],
    head=dict(type='mmwsol.ConvCAMHead', num_classes=200, in_channels=768),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam', threshold=0.1))
