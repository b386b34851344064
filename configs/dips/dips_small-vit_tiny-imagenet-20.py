# DiPS on tiny-imagenet-20 (20 classes, 64x64), a small vision transformer from scratch. The first stage is that of
# ts-cam_small-vit_tiny-imagenet-20.py, whose classifier stands in for DINO. Numbers of pixels, and the strength of the
# CRF, which grows with their square, are those of 224x224 images brought to 64x64.
_base_ = ['../_base_/small-vit/tiny-imagenet-20.py']
decoder_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.RandomCrop', crop_size=64, padding=8, padding_mode='reflect'),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.LoadProposals', cache_dir='stage://proposals/cache', top_k=2),
    dict(type='mmwsol.PackLocInputs', algorithm_keys=['proposal_mask', 'proposal_map', 'raw_img']),
]
localizer = dict(
    # The attention of all blocks: that of the last alone, unlike DINO's, does not show objects here.
    backbone=dict(type='mmwsol.DiPSViT', num_cls_tokens=3, attn_layers=(0, 1, 2)),
    head=dict(
        _delete_=True,
        type='mmwsol.DiPSHead',
        num_classes=20,
        in_channels=128,
        num_cls_tokens=3,
        map_set='all_heads_and_mean',  # 4 heads
        channels=(32, 16),  # 8x8 patches
        train_part='classifier',
        sampler=dict(num_fg=80, num_bg=80, fg_fraction=0.2, bg_fraction=0.2),
        loss_crf=dict(type='mmwsol.DenseCRFLoss', sigma_rgb=15, sigma_xy=28.6, loss_weight=3e-7)),
    map_to_box=dict(preset='dips', threshold=0.4))
step = dict(
    optimizer=dict(_delete_=True, type='SGD', lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.), clip_grad=None)
stages = [
    dict(name='pretrain', train_cfg=dict(max_epochs=14)),
    dict(name='classifier', model=localizer, train_cfg=dict(max_epochs=3)),
    dict(
        name='proposals',
        model=localizer,
        train_dataloader=dict(dataset=dict(pipeline={{_base_.test_pipeline}})),
        train_cfg=dict(
            _delete_=True,
            type='mmwsol.OfflineLoop',
            writer=dict(type='mmwsol.ProposalWriter', min_area=0.1, blur_kernel=33, blur_sigma=28.7))),
    dict(
        name='decoder',
        model=dict(localizer, head=dict(localizer['head'], train_part='decoder')),
        train_dataloader=dict(dataset=dict(pipeline=decoder_pipeline)),
        optim_wrapper=step,
        param_scheduler=dict(_delete_=True, type='StepLR', by_epoch=True, step_size=2, gamma=0.1),
        train_cfg=dict(max_epochs=3, val_interval=3)),
]
