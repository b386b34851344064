model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TapViT', arch='deit-small', drop_path_rate=0.1, tap_in_train=True),
    head=dict(
        type='mmwsol.CDTRHead',
        in_channels=384,
        attn_shape=(12, 6),
        # The official code adds the images of a GPU's batch: loss_weight is their number, the same for any batch.
        loss_ocm_s=dict(type='mmwsol.NoiseSuppressionLoss', reduce='mean'),
        loss_ocm_a=dict(type='mmwsol.ObjectAwakeningLoss', pairs='same'),  # official code: all pairs of images
        map_losses=dict(loss_sba=dict(
            type='mmwsol.SemanticBoostLoss',
            prompt_index='label'))),  # official code: the image's position in the batch
    map_to_box=dict(type='mmwsol.ContourBox', preset='cdtr'),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth'))
