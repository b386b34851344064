# SAT (Wu et al., ICCV 2023), Conformer-S/16 at 224 on CUB-200-2011 (Table 6). There is no code for it: settings of
# DeiT-S, design of the spatial token inferred.
_base_ = ['./sat_deit-s_cub.py']
model = dict(
    backbone=dict(type='mmwsol.SATConformer', arch='small'),
    head=dict(conv_channels=1024),
    # A release of pengzhiliang/Conformer, without a direct URL: put the file there, or into $MMWSOL_CHECKPOINT_ROOT.
    init_cfg=dict(checkpoint='checkpoints/conformer_small_patch16.pth'))
