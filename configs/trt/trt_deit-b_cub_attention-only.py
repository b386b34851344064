# The baseline of TRT's code: an ordinary DeiT-B/16, whose map is the attention of the class token summed over all
# blocks.
_base_ = ['./trt_deit-b_cub.py']
model = dict(
    backbone=dict(_delete_=True, type='mmwsol.TapViT', arch='deit-base', drop_path_rate=0.1),
    head=dict(type='mmwsol.ClsTokenHead'))
stages = None
param_scheduler = dict(milestones=[19, 39])
train_cfg = dict(max_epochs=40)
