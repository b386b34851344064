# CDTR without CLIP (CSM, OCM and SKI, no SBA) on NEU-DET, a small vision transformer from scratch: stages, epochs and
# learning rates of ts-cam_small-vit_neu-det.py.
_base_ = ['../_base_/small-vit/neu-det.py']
stages = [
    dict(name='pretrain', train_cfg=dict(max_epochs=30, val_interval=10)),
    dict(
        name='cdtr',
        model=dict(
            backbone=dict(tap_in_train=True),
            head=dict(
                _delete_=True,
                type='mmwsol.CDTRHead',
                num_classes=6,
                in_channels=128,
                attn_shape=(3, 4),
                with_ski=True,
                ocm_blocks=2,  # of 3; the paper's best on CUB is 9 of 12
                # The official code adds the images of a GPU's batch: their sum here, on any number of GPUs.
                loss_ocm_s=dict(type='mmwsol.NoiseSuppressionLoss', reduce='mean', loss_weight=64)),
            map_to_box=dict(preset='cdtr')),  # the threshold of TS-CAM's run, 0.1
        optim_wrapper=dict(optimizer=dict(lr=5e-4)),
        train_cfg=dict(max_epochs=15, val_interval=5)),
]
