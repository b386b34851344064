# LocLoc on CUB-200-2011, ablation of ours: a U-Net that uses its deepest level, which the official code computes in vain.
_base_ = ['../locloc_deit-s_cub.py']
model = dict(head=dict(generator=dict(fix_unet_skip=True)))
