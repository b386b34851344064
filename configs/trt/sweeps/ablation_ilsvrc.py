# TRT, DeiT-B on ILSVRC.
base = 'trt_deit-b_ilsvrc'
cells = {
    '': {},
    # A fixed number of patches, Fig. 4a; number and schedule of the official code, which divides the learning rate at
    # every multiple of 8 and 15. One stage: its map is the re-attention alone.
    'topk': {
        'model.backbone.tpsm': dict(_delete_=True, selection='topk', topk=150, mask_eps=0, lambda_eps=0),
        'stages': [
            dict(
                name='tpsm',
                model=dict(head=dict(train_part='tpsm')),
                param_scheduler=dict(milestones=[7, 14, 15], gamma=0.2),
                train_cfg=dict(max_epochs=20)),
        ],
    },
}
