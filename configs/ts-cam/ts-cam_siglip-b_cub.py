# TS-CAM on SigLIP ViT-B/16 at 224, CUB-200-2011. Ours: the backbone is not in the paper, the recipe is that of DeiT.
# SigLIP has no class token: the attention is that of its pooling, which keeps its weights, as no loss reaches it.
_base_ = ['./ts-cam_deit-s_cub.py']
model = dict(
    data_preprocessor=dict(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)),
    backbone=dict(
        _delete_=True,
        type='mmwsol.TimmViT',
        model_name='vit_base_patch16_siglip_224.webli',
        pretrained=True,  # by timm; a file on disk: pretrained_cfg_overlay=dict(file=PATH)
        query='pool',
        drop_path_rate=0.1),
    frozen=['backbone.model.attn_pool'],
    head=dict(in_channels=768),
    init_cfg=None)
