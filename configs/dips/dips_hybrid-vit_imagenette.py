# DiPS on Imagenette, a transformer behind EfficientNet-Lite0.
# The first stage is that of ts-cam_hybrid-vit_imagenette.py, whose classifier stands in for DINO.
_base_ = ['../_base_/hybrid-vit/imagenette.py']
# As in sat_hybrid-vit_imagenette.py: the class token's attention, of which the masks are made, is better on small tokens.
model = dict(backbone=dict(stem=dict(norm_scale=0.1)))
# The decoder wants images of the size that it was trained on.
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(160, 160)),
    dict(type='mmwsol.PackLocInputs'),
]
val_dataloader = test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
decoder_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(160, 160)),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.LoadProposals', cache_dir='stage://proposals/cache', top_k=2),
    dict(type='mmwsol.PackLocInputs', algorithm_keys=['proposal_mask', 'proposal_map', 'raw_img']),
]
proposal_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(160, 160)),
    dict(type='mmwsol.PackLocInputs'),
]
localizer = dict(
    map_to_box=dict(type='mmwsol.ContourBox', preset='dips'),
    backbone=dict(type='mmwsol.DiPSViT', num_cls_tokens=2, attn_layers=(0, 1)),
    head=dict(
        _delete_=True,
        type='mmwsol.DiPSHead',
        num_classes=10,
        in_channels=128,
        num_cls_tokens=2,
        map_set='all_heads_and_mean',  # 4 heads
        channels=(32, 16, 8),  # 16x16 patches
        train_part='classifier',
        loss_crf=dict(type='mmwsol.DenseCRFLoss', sigma_rgb=15, sigma_xy=71.4, loss_weight=1e-8)))
step = dict(
    optimizer=dict(_delete_=True, type='SGD', lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.), clip_grad=None)
stages = [
    dict(name='pretrain'),
    dict(name='classifier', model=localizer),
    dict(
        name='proposals',
        model=localizer,
        train_dataloader=dict(dataset=dict(k_shot=50, pipeline=proposal_pipeline)),  # five views of each are scored
        train_cfg=dict(
            _delete_=True,
            type='mmwsol.OfflineLoop',
            writer=dict(type='mmwsol.ProposalWriter', min_area=0.05, blur_kernel=83, blur_sigma=71.8))),
    dict(
        name='decoder',
        total_batch_size=8,  # more steps; most of a step's time goes with the images
        model=dict(localizer, head=dict(localizer['head'], train_part='decoder')),
        train_dataloader=dict(batch_size=8, dataset=dict(k_shot=50, pipeline=decoder_pipeline)),
        optim_wrapper=step,
        param_scheduler=[],
        train_cfg=dict(max_epochs=3, val_interval=3)),
]
