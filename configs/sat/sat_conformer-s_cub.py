# SAT (Wu et al., ICCV 2023), Conformer-S/16 at 224 on CUB-200-2011 (Table 6). There is no code for it: settings of DeiT-S,
# design of the spatial token inferred.
_base_ = [
    '../_base_/datasets/cub_224_sat.py',
    '../_base_/schedules/sat_cub.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.SATConformer', arch='small', num_sqa_blocks=3, drop_path_rate=0.1),
    head=dict(
        type='mmwsol.SATHead',
        num_classes=200,
        in_channels=384,
        conv_channels=1024,
        map_losses=dict(
            loss_area=dict(type='mmwsol.BatchAreaLoss', target=0.25, sync=True),
            loss_norm=dict(type='mmwsol.MapNormalizationLoss', kernel='nsig', kernel_size=3, sigma=6))),
    map_to_box=dict(type='mmwsol.ComponentBox', preset='sat', threshold=0.4),
    # A release of pengzhiliang/Conformer, without a direct URL: put the file there, or into $MMWSOL_CHECKPOINT_ROOT.
    init_cfg=dict(type='Pretrained', checkpoint='checkpoints/conformer_small_patch16.pth'))
default_hooks = dict(checkpoint=dict(save_best=['loc/gt_known', 'loc/top1'], rule='greater'))
randomness = dict(seed=6)
