# CDTR (Chen et al., TPAMI 2025), DeiT-S/16 at 224 on ILSVRC2012.
_base_ = [
    '../_base_/datasets/ilsvrc_224_deit-aug.py',
    '../_base_/schedules/cdtr_ilsvrc.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TapViT', arch='deit-small', drop_path_rate=0.1, tap_in_train=True),
    head=dict(
        type='mmwsol.CDTRHead',
        num_classes=1000,
        in_channels=384,
        attn_shape=(12, 6),
        c_base=256,
        ocm_blocks=10,  # the paper's text says 6, its table and the code 10
        # The official code adds the images of a GPU's batch, 64: the same weight for any batch.
        loss_ocm_s=dict(type='mmwsol.NoiseSuppressionLoss', ratio=0.1, reduce='mean', loss_weight=64),
        loss_ocm_a=dict(type='mmwsol.ObjectAwakeningLoss', pairs='same'),  # official code: all pairs of images
        map_losses=dict(loss_sba=dict(
            type='mmwsol.SemanticBoostLoss',
            text_embeddings='data/clip/ilsvrc_vit-b-32.pt',
            map_norm='minmax',
            prompt_index='label',  # official code: the image's position in the batch
            loss_weight=0.01))),
    map_to_box=dict(type='mmwsol.ContourBox', preset='cdtr', threshold=0.19),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth'))
