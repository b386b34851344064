# TRT that selects a fixed number of patches, the paper's Fig. 4a; number and schedule of the official code. One stage:
# its map is the re-attention alone.
_base_ = ['./trt_deit-b_ilsvrc.py']
model = dict(backbone=dict(tpsm=dict(_delete_=True, selection='topk', topk=150, mask_eps=0, lambda_eps=0)))
stages = [
    dict(
        name='tpsm',
        model=dict(head=dict(train_part='tpsm')),
        # Divides at every multiple of 8 and 15.
        param_scheduler=dict(milestones=[7, 14, 15], gamma=0.2),
        train_cfg=dict(max_epochs=20)),
]
